"""The model card of a folder of GGUF files: README.md, as the hub shows it.

Values are taken from the headers of the files, measurements and checks from their reports.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from relay_gguf.convert.inspect.overview import settings_in_words
from relay_gguf.convert.template import KEY, template_kind
from relay_gguf.display import one_line, size
from relay_gguf.fit.memory import DEFAULT_N_CTX
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.gguf_file.values import entries, repo_of, text, texts

USUAL: Final = "Q4_K_M"
"""The type that the examples take, if it is among the files."""
TASK: Final = "text-generation"
TAGS: Final = ("gguf", "relay-gguf")
RELAY_TAGS: Final = ("relay", "irc")
MERGED_INTO: Final = {
    "nf4": " as 4-bit training saw it (NF4)",
    "nf4-double": " as QLoRA training saw it (NF4 with double quantization)",
}
MARK: Final = re.compile(r"<!-- relay-gguf made this page(?: for (?P<repo>[\w.-]+/[\w.-]+))?[:,]")
_PLAIN: Final = re.compile(r"[\w.+-]+", re.ASCII)
_REPO: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_URL: Final = re.compile(r"https://[\w.:/?=&%#@+,~-]+", re.ASCII)
_LICENSE: Final = re.compile(r"[a-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class PublishedType:
    """The files of a type: their headers, and the values of their report.

    `error` is None where it was not measured. `moved` is the adapter's change by kind of tensor.
    `alike` counts the texts that llama.cpp tokenized as the tokenizer; None if nothing was checked.
    """

    ftype: str
    names: tuple[str, ...]
    model: GgufModel
    error: float | None = None
    moved: Mapping[str, float | None] | None = None
    alike: int | None = None
    imatrix: str = ""
    overrides: tuple[str, ...] = ()
    encoders: str = ""


def page(found: Sequence[PublishedType], repo: str = "", which_one: Sequence[str] = ()) -> str:
    """The whole README.md.

    Args:
        found: the types, at least one, in the order of the table.
        repo: `owner/name` on the hub, which the commands name; empty if it is not known.
        which_one: the blocks of a section that tells which file suits whom; empty for none.
    """
    front = yaml.safe_dump(
        front_matter(found),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=999,
    )
    blocks = [
        f"---\n{front}---",
        f"<!-- relay-gguf made this page{f' for {repo}' if repo else ''}: it is written anew with "
        "each conversion, unless you take this line out. -->",
        *_introduction(found),
        "## Files",
        _table(found),
        f"Memory is about what a chat with a context of {DEFAULT_N_CTX} tokens takes. The error is "
        "how far the weights are from the model in 32 bits, relative to it, as measured while they "
        "were written. `sha256sum -c --ignore-missing SHA256SUMS` checks the files.",
        *(["## Which one for me", *which_one] if which_one else []),
        "## Run",
        *_run(found, repo),
        "## How they were made",
        *_making(found),
    ]
    return "\n\n".join(blocks) + "\n"


def front_matter(found: Sequence[PublishedType]) -> dict[str, Any]:
    """The fields that the hub reads: license, origin, tags, and who made the files."""
    keys = [entry.model.metadata for entry in found]
    datasets = _unique(repo_of(item) for k in keys for item in entries(k, "dataset"))
    languages = _unique(item for k in keys for item in texts(k, "general.languages"))
    tags = [*TAGS, *(RELAY_TAGS if all(map(is_relay, found)) else ())]
    tags += [item for k in keys for item in texts(k, "general.tags") if item != TASK]
    fields: dict[str, Any] = {
        **_license(found),
        **_base_model(found),
        "datasets": [item for item in datasets if _REPO.fullmatch(item)],
        "language": languages,
        "pipeline_tag": TASK,
        "tags": _unique(tags),
        "quantized_by": ", ".join(_unique(text(k, "general.quantized_by") for k in keys)),
    }
    return {name: value for name, value in fields.items() if value}


def _license(found: Sequence[PublishedType]) -> dict[str, str]:
    """The license, if all files have the same; a license without a name on the hub is `other`."""
    keys = found[0].model.metadata
    named = _unique(text(entry.model.metadata, "general.license") for entry in found)
    if len(named) != 1:
        return {}
    name, link = text(keys, "general.license.name"), text(keys, "general.license.link")
    if named[0] != "other" and _LICENSE.fullmatch(named[0].lower()):
        return {"license": named[0].lower()}
    name = one_line(name or (named[0] if named[0] != "other" else ""))
    fields = {"license_name": name, "license_link": link if _URL.fullmatch(link) else ""}
    return {"license": "other"} | {key: value for key, value in fields.items() if value}


def _base_model(found: Sequence[PublishedType]) -> dict[str, Any]:
    """The model on the hub from which these files were made."""
    merged = any("adapter" in entry.model.origin for entry in found)
    sources = _unique(entry.model.origin.get("source", "") for entry in found)
    if not merged and sources and all(map(_REPO.fullmatch, sources)):
        return {"base_model": _one_or_all(sources), "base_model_relation": "quantized"}
    bases = _unique(
        repo_of(e) for entry in found for e in entries(entry.model.metadata, "base_model")
    )
    bases = [base for base in bases if _REPO.fullmatch(base)]
    relation = {"base_model_relation": "finetune"} if merged and bases else {}
    return {"base_model": _one_or_all(bases), **relation}


def _introduction(found: Sequence[PublishedType]) -> Iterator[str]:
    keys = found[0].model.metadata
    names = _unique(text(entry.model.metadata, "general.name") for entry in found)
    yield f"# {escaped(', '.join(names) or found[0].names[0])}, in GGUF"
    if description := text(keys, "general.description"):
        yield escaped(description).rstrip(".") + "."
    said = []
    if author := text(keys, "general.author") or text(keys, "general.organization"):
        said.append(f"The model is by {_linked(author, text(keys, 'general.url'))}.")
    if terms := _license(found):
        name = terms.get("license_name") or terms["license"]
        whose = "Its" if said else "The model's"
        said.append(f"{whose} license is {_linked(name, text(keys, 'general.license.link'))}.")
    if said:
        yield " ".join(said)


def _table(found: Sequence[PublishedType]) -> str:
    rows = [
        "| file | type | size | bits per weight | memory | error |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for entry in found:
        need = entry.model.memory()
        n_more = len(entry.names) - 1
        more = f" and {n_more} more part{'s' * (n_more > 1)}" if n_more else ""
        cells = [
            code(entry.names[0]) + more,
            entry.ftype,
            size(entry.model.size),
            f"{entry.model.bits:.2f}",
            size(need.total) if need else "",
            f"{entry.error:.2%}" if entry.error is not None else "",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _run(found: Sequence[PublishedType], repo: str) -> Iterator[str]:
    """How to run a file in each program."""
    entry = next((entry for entry in found if entry.ftype == USUAL), found[-1])
    names = [one_line(name) for name in entry.names]
    is_whole = len(names) == 1
    ends = (f"-{entry.ftype}.gguf", f".{entry.ftype}.gguf")
    tagged = f"{repo}:{entry.ftype}" if repo and is_whole and names[0].endswith(ends) else ""
    local = shlex.quote(names[0])
    ours = tagged or (shlex.quote(f"{repo}/{names[0]}") if repo and is_whole else local)
    fetch = (
        f"hf download {repo} {' '.join(map(shlex.quote, names))} --local-dir .\n" if repo else ""
    )
    fetch_for_ours = "" if is_whole else fetch
    if relay := is_relay(entry):
        yield (
            "Commands such as `/join #boston`, `/cast I'm a pirate` and `/slap` work in each of "
            "these programs, typed as messages: the chat template in the file knows them."
        )
    if settings := settings_in_words(entry.model, without=("sequence",)):
        yield f"The files bring their sampling defaults: {escaped(settings)}."
    yield "relay-gguf, a chat in the terminal:"
    yield _block(f"{fetch_for_ours}relay-gguf chat {ours}")
    if relay:
        yield (
            "LM Studio takes the chat template from the file, but does not seem to read its "
            "sampling defaults: `--preset` adds the preset Relay, which sets them. "
            "`lm_studio_preset.json` is the same preset:"
        )
    else:
        yield "LM Studio:"
    preset = " --preset" if relay else ""
    yield _block(f"{fetch_for_ours}relay-gguf lmstudio install {ours}{preset}")
    yield "llama.cpp, for any client of OpenAI's API at http://127.0.0.1:8080/v1:"
    server = f"llama-server -hf {tagged}" if tagged else f"{fetch}llama-server -m {local}"
    yield _block(f"{server} -c {DEFAULT_N_CTX}")
    if is_whole:
        yield "Ollama 0.30 or newer:"
        yield _block(f"relay-gguf ollama modelfile {ours} --create")


def _making(found: Sequence[PublishedType]) -> Iterator[str]:
    """The origin of the weights, and the checks of the files."""
    for origin in _unique(tuple(sorted(entry.model.origin.items())) for entry in found):
        group = [e for e in found if tuple(sorted(e.model.origin.items())) == origin]
        yield " ".join(_story(group, dict(origin)))
    for entry in found:
        if entry.imatrix:
            matrix = code(entry.imatrix)
            yield f"{code(entry.names[0])} was made with the importance matrix {matrix}."
        if entry.overrides:
            types = escaped(", ".join(entry.overrides))
            yield f"{code(entry.names[0])} has other types than llama.cpp's mix in places: {types}."
    checked = [entry for entry in found if entry.alike is not None]
    if checked:
        which = "Each file" if len(checked) == len(found) else _files(checked)
        were = "were" if 1 < len(checked) < len(found) else "was"
        alike = min(entry.alike or 0 for entry in checked)
        tokens = (
            f" llama.cpp cut {alike} texts into the same tokens as the model's own tokenizer."
            if alike
            else ""
        )
        yield (
            f"{which} {were} read back from the disk and opened by llama.cpp.{tokens} "
            "`*.report.json` has the error of every tensor."
        )
    if len(checked) < len(found):
        yield f"Not checked: {_files([entry for entry in found if entry.alike is None])}."


def _story(group: Sequence[PublishedType], origin: Mapping[str, str]) -> Iterator[str]:
    made = _unique(text(entry.model.metadata, "general.quantized_by") for entry in group)
    encoders = _unique(entry.encoders for entry in group)
    by = " with the encoders of ".join(filter(None, [", ".join(made), ", ".join(encoders)]))
    if "adapter" in origin:
        digest = origin.get("adapter_sha256", "")
        adapter = _reference(origin["adapter"]) + (f" (SHA-256 {code(digest)})" if digest else "")
        into = _reference(origin.get("source", "its base"))
        how = MERGED_INTO.get(origin.get("merge_base", ""), "")
        yield f"The adapter {adapter} was merged into {into}{how}."
    elif "source" in origin:
        yield f"The weights are those of {_reference(origin['source'])}."
    if kind := origin.get("base_type"):
        yield (
            f"The files were made from a GGUF file that was quantized already ({code(kind)}), "
            "and the errors of that are in them too."
        )
    if by:
        yield f"The files were written by {escaped(by)}."
    moved = {kind: share for kind, share in (group[0].moved or {}).items() if share is not None}
    if moved:
        kinds = ", ".join(f"{code(kind)} by {share:.1%}" for kind, share in moved.items())
        yield f"The adapter moved {kinds}."


def _files(found: Iterable[PublishedType]) -> str:
    return ", ".join(code(entry.names[0]) for entry in found)


def is_relay(entry: PublishedType) -> bool:
    """Whether the files have Relay's chat template."""
    return template_kind(text(entry.model.metadata, KEY)) == "relay"


def _block(command: str) -> str:
    return f"```bash\n{command}\n```"


def _reference(label: str) -> str:
    """A model's name, linked if it is on the hub."""
    if _REPO.fullmatch(label):
        return f"[{escaped(label)}](https://huggingface.co/{label})"
    return code(label)


def _linked(name: str, url: str) -> str:
    return f"[{escaped(name)}]({url})" if _URL.fullmatch(url) else escaped(name)


def code(name: str) -> str:
    """A name as code, or escaped where a backtick or the like would end that."""
    return f"`{name}`" if _PLAIN.fullmatch(name) else escaped(name)


def escaped(said: str) -> str:
    """A file's text for a line or table of Markdown, escaped so that nothing in it is markup."""
    plain = re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", one_line(said))
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", plain)


def _unique(items: Iterable[Any]) -> list[Any]:
    """The items that are not empty, each once."""
    return [item for item in dict.fromkeys(items) if item]


def _one_or_all(items: Sequence[str]) -> str | list[str]:
    return items[0] if len(items) == 1 else list(items)
