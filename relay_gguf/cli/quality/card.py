"""What was measured, put into the model card of a folder; and a conversion that is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from relay_gguf.errors import SettingsError

from .reading import ReadingLine

if TYPE_CHECKING:
    from relay_gguf.quality.comparison import Comparison

BASES: Final = ("F32", "F16", "BF16", "Q8_0")
"""File types that others can be compared with, the best first."""


def card_folder(models: Sequence[str]) -> Path:
    """The folder of all these files, which has a conversion's reports.

    Raises:
        SettingsError: they are in several folders, or were not converted there.
    """
    folders = {Path(name).absolute().parent for name in models}
    folder = folders.pop()
    if folders or not list(folder.glob("*.report.json")):
        raise SettingsError(
            "--card needs all files in one folder, the --out of a conversion, with its reports."
        )
    return folder


def write_card(compared: Comparison, folder: Path) -> None:
    """Write quality.json and the plots into a folder, and its model card anew.

    Raises:
        ConversionError: it cannot be written.
    """
    from importlib.util import find_spec

    from relay_gguf.convert.publish.folder import write_folder
    from relay_gguf.convert.publish.which_one import MEASURED, PICTURES
    from relay_gguf.disk import write_whole
    from relay_gguf.quality.plot import draw
    from relay_gguf.quality.written import comparison_json

    data = json.dumps(comparison_json(compared), ensure_ascii=False, indent=1)
    for name in PICTURES:
        if find_spec("matplotlib") is not None:
            draw(compared, folder / name)
        else:  # it would show another measurement
            (folder / name).unlink(missing_ok=True)
    write_whole(folder / MEASURED, f"{data}\n".encode())
    write_folder(folder)


def refuse_without_base(ftypes: Sequence[str]) -> None:
    """Refuse a conversion whose files have nothing to be compared with.

    Raises:
        SettingsError: no type is fine enough, or it is the only one.
    """
    if not set(BASES) & set(ftypes) or len(ftypes) < 2:
        raise SettingsError(
            f"--quality compares files with one of {', '.join(BASES)}: ask for one of these and "
            "for another type, as -q Q8_0 -q Q4_K_M."
        )


def measure_converted(
    paths: Mapping[str, Path], folder: Path, n_threads: int | None, *, quiet: bool
) -> Comparison:
    """Compare the files of a conversion with the best of them, and put that into the model card.

    Args:
        paths: file type → the file, or the first of a split one.
        folder: of the conversion.
        n_threads: threads to compute with; None for those of the settings.
        quiet: show nothing meanwhile.

    Raises:
        QualityError, ModelError, MemoryShortError, EngineError: as `quality.comparison.compare`.
    """
    from relay_gguf.folders import DIRS
    from relay_gguf.quality.comparison import LogitsPlace, MeasuredText, compare
    from relay_gguf.quality.measure import Computing
    from relay_gguf.quality.model_file import model_file
    from relay_gguf.settings import usual_settings

    best = next(ftype for ftype in BASES if ftype in paths)
    settings = usual_settings({"threads": n_threads})
    line = ReadingLine(quiet=quiet)
    try:
        compared = compare(
            model_file(paths[best]),
            [model_file(path) for ftype, path in paths.items() if ftype != best],
            MeasuredText(),
            Computing(replace(settings.load, workers=()), settings.threads, line),
            LogitsPlace(DIRS.user_cache_path / "quality"),
        )
    except KeyboardInterrupt:
        line.clear()
        typer.echo(
            "Stopped. The files are whole; `relay-gguf quality` with --card measures them.",
            err=True,
        )
        raise
    finally:
        line.clear()
    write_card(compared, folder)
    return compared
