"""The folder for the hub: model card, checksums and LM Studio's preset beside the GGUF files.

The reports in the folder tell its files, so that a second conversion adds its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf.convert.budget.allocation import CHOSEN
from relay_gguf.convert.quantize.ftypes import FTYPES
from relay_gguf.disk import digest, write_whole
from relay_gguf.display import one_line
from relay_gguf.errors import ConversionError, ModelError
from relay_gguf.gguf_file.gguf_model import read_gguf

from .modelcard import MARK, PublishedType, is_relay, page
from .safety_section import read_section, with_section
from .which_one import read_measured, which_one

PAGE: Final = "README.md"
SUMS: Final = "SHA256SUMS"
PRESET: Final = "lm_studio_preset.json"
REPORTS: Final = "*.report.json"


@dataclass(frozen=True, slots=True)
class WrittenFolder:
    """The names of the files that were written, and notes for the user."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def write_folder(folder: Path, repo: str = "") -> WrittenFolder:
    """Write README.md, SHA256SUMS and lm_studio_preset.json for all files that have a report.

    Args:
        folder: the output folder of a conversion.
        repo: `owner/name` on the hub; empty takes the repository in the README.md that exists.

    Raises:
        ConversionError: the folder has no report, or cannot be written.
    """
    try:
        entries, notes = read_entries(folder)
        if not entries:
            why = " ".join(notes) or f"{folder} has no {REPORTS}, which a conversion leaves."
            raise ConversionError(f"No file of {folder} can be described. {why}")
        files = {name: folder / name for entry in entries for name in entry.names}
        matrices = {entry.imatrix for entry in entries if Path(entry.imatrix).name == entry.imatrix}
        files |= {n: folder / n for n in matrices if n and (folder / n).is_file()}
        digests = _digests(folder, files)
        wanted: dict[str, bytes | None] = {
            SUMS: sums_text(digests).encode("utf-8", "surrogateescape")
        }
        if any(map(is_relay, entries)):
            wanted[PRESET] = _preset(folder)
        wanted[PAGE] = card_for(folder, entries, repo)
        for name, data in wanted.items():
            if data is None:
                notes.append(f"{name} is not relay-gguf's, and stays as it is.")
            elif _content(folder / name) != data:
                write_whole(folder / name, data)
    except OSError as error:
        where = error.filename or folder
        raise ConversionError(f"Cannot write {where}: {error.strerror or error}.") from error
    return WrittenFolder(tuple(name for name, data in wanted.items() if data), tuple(notes))


def written_lines(written: WrittenFolder, folder: Path) -> Iterator[str]:
    """The files that were written and the notes, in lines for a person."""
    yield one_line(f"{folder} has {', '.join(written.names)}.")
    for note in written.notes:
        yield one_line(f"Note: {note}")


def card_for(folder: Path, entries: Sequence[PublishedType], repo: str = "") -> bytes | None:
    """The README.md for a folder; None where it has one that relay-gguf did not write."""
    there = _content(folder / PAGE)
    if there is not None:
        ours = MARK.search(there.decode("utf-8", "replace"))
        if ours is None:
            return None
        repo = repo or ours["repo"] or ""
    measured = read_measured(folder)
    blocks = [] if measured is None else list(which_one(entries, measured))
    return with_section(page(entries, repo, blocks), read_section(folder)).encode()


def read_entries(folder: Path) -> tuple[list[PublishedType], list[str]]:
    """The types of a folder whose files have a report, the largest first; notes on the others."""
    entries, notes = [], []
    for path in sorted(folder.glob(REPORTS)):
        try:
            entries.append(_entry(folder, json.loads(path.read_text("utf-8"))))
        except ModelError as error:
            notes.append(f"{path.name} was left out: {error}")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            notes.append(f"{path.name} was left out: it is not a report of relay-gguf.")
    return sorted(entries, key=lambda entry: (-entry.model.size, entry.names)), notes


def _entry(folder: Path, report: Mapping[str, Any]) -> PublishedType:
    """A report, and the headers of its files."""
    names = tuple(str(file["name"]) for file in report["files"])
    if not names or any(Path(name).name != name for name in names):
        raise ValueError(names)
    model = read_gguf(folder / names[0])
    if model.missing:
        raise ModelError(f"{model.missing[0]} is missing.")
    known = report["type"] in FTYPES or CHOSEN.fullmatch(str(report["type"]))
    ftype = str(report["type"]) if known else model.ftype
    checked = report["verified"]
    return PublishedType(
        ftype=ftype,
        names=names,
        model=model,
        error=_number(report["error"]),
        moved={str(kind): _number(norm["moved"]) for kind, norm in report["merge"].items()},
        alike=None if checked is None else int(checked["texts_tokenized_alike"]),
        imatrix=str(report["imatrix"] or ""),
        overrides=tuple(map(str, report.get("overrides", ()))),  # earlier releases had none
        encoders=str(report["encoders"]),
    )


def _number(given: float | None) -> float | None:
    """A number of a report; None where values were not finite."""
    return None if given is None else float(given)


def _digests(folder: Path, files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of each file, and of other files that SHA256SUMS lists and that still exist.

    Digests in SHA256SUMS or a report are taken if these are not older than the file.
    """
    told: list[tuple[int, Mapping[str, str]]] = []
    old = read_sums(folder)
    if old:
        told.append(((folder / SUMS).stat().st_mtime_ns, old))
    for path in folder.glob(REPORTS):
        try:
            listed = json.loads(path.read_text("utf-8"))["files"]
            said = {str(file["name"]): str(file["sha256"]) for file in listed}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        told.append((path.stat().st_mtime_ns, said))
    told.sort(key=lambda item: item[0], reverse=True)
    others = {name: folder / name for name in old if (folder / name).is_file()}
    found = {}
    for name, path in sorted((others | dict(files)).items()):
        changed = path.stat().st_mtime_ns
        known = [said[name] for when, said in told if when >= changed and name in said]
        found[name] = known[0] if known else digest(path)
    return found


def _preset(folder: Path) -> bytes | None:
    """LM Studio's preset; None where the folder has another file of that name."""
    from relay_gguf.apps.lmstudio import preset_json

    data = preset_json().encode()
    there = _content(folder / PRESET)
    return data if there is None or _identifier(there) == _identifier(data) else None


def _identifier(data: bytes) -> object:
    try:
        return json.loads(data)["identifier"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def sums_text(digests: Mapping[str, str]) -> str:
    """The lines that `sha256sum -c` reads; a name with a line break or a backslash is escaped."""
    lines = []
    for name, hexdigest in digests.items():
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{'' if escaped == name else chr(92)}{hexdigest}  {escaped}\n")
    return "".join(lines)


def read_sums(folder: Path) -> dict[str, str]:
    """File name → SHA-256 in a folder's SHA256SUMS; empty where there is none."""
    found = {}
    text = (_content(folder / SUMS) or b"").decode("utf-8", "surrogateescape")
    for line in text.split("\n"):
        hexdigest, _, name = line.removesuffix("\r").partition(" ")
        if line.startswith("\\"):
            hexdigest = hexdigest[1:]
            pairs = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
            name = "".join(pairs.get(part, part) for part in _escapes(name))
        name = name[1:]  # a blank, or a star for binary
        if len(hexdigest) == 64 and Path(name).name == name:
            found[name] = hexdigest.lower()
    return found


def _escapes(name: str) -> Iterator[str]:
    """A name, letter by letter, a backslash with the one after it."""
    letters = iter(name)
    for letter in letters:
        yield letter + next(letters, "") if letter == "\\" else letter


def _content(path: Path) -> bytes | None:
    """A file's bytes; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
