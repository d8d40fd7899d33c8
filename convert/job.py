"""A conversion that is ready to run: everything opened, planned and checked, nothing written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, get_args

from gguf import GGUFWriter

from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file import Keys, Kind, Value
from relay_gguf.prompt import IM_END, IM_START

from . import arch, card, vocab
from .arch import MAX_CONTEXT
from .card import RELAY_SAMPLING, Card
from .ftypes import FTYPES
from .header import collected
from .imatrix import Imatrix, read_imatrix
from .merge import EMBEDDING, MERGE_BASES, MergeBase, Merged
from .plan import Target, plan
from .proof import check_vocabulary
from .source import AdapterSource, Source, open_adapter_source, open_source
from .template import embedded
from .vocab import Vocabulary, read_vocabulary
from .weights import GgufWeights, ModelWeights, Tensor, Weights

Template = Literal["relay", "keep"]

TEMPLATES: Final[tuple[Template, ...]] = get_args(Template)
TYPE: Final = "{type}"
"""Stands for the type in a pattern of file names."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for.

    `base` is a folder, `owner/name` or a GGUF file; `name` a pattern with `{type}` in it;
    `max_bytes` splits the files.
    """

    base: str
    ftypes: tuple[str, ...]
    adapter: str | None = None
    name: str | None = None
    card: Card = field(default_factory=Card)
    merge_base: MergeBase = "original"
    context_length: int | None = None
    pre: str | None = None
    imatrix: Path | None = None
    max_bytes: int | None = None
    allow_nonfinite: bool = False
    verify: bool = True
    template: Template = "relay"  # the chat template: ours, or the tokenizer's own


@dataclass(frozen=True, slots=True)
class Model:
    """What is converted: tensors, keys, and the texts that prove the vocabulary."""

    label: str
    weights: Weights
    keys: Keys
    probes: Mapping[str, Sequence[int]]  # text → ids by Hugging Face's tokenizer
    paths: tuple[Path, ...]  # of what is read
    origin: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A planned conversion."""

    request: Request
    model: Model
    targets: tuple[Target, ...]
    tensors: tuple[Tensor, ...]  # in the order of the files
    imatrix: Imatrix | None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(target.size for target in self.targets)


def prepare(request: Request, *, weights: bool = True) -> Job:
    """Open, check and plan.

    Args:
        request: what is asked for.
        weights: False does not download a repository's weights; the job can be shown then, not run.

    Raises:
        ConversionError: something does not fit, or is not known; says which.
        ModelError: the hub does not have the model, or cannot be reached.
    """
    _check(request)
    model = (
        _open_gguf(request)
        if request.base.endswith(".gguf")
        else _open_model(request, weights=weights)
    )
    imatrix = None if request.imatrix is None else read_imatrix(request.imatrix)
    keys = model.keys if imatrix is None else _with_imatrix(model.keys, imatrix)
    pattern = request.name or f"{model.label.rpartition('/')[2]}-{TYPE}.gguf"
    targets = plan(
        keys,
        model.weights.tensors,
        {ftype: pattern.replace(TYPE, ftype) for ftype in request.ftypes},
        None if imatrix is None else imatrix.weights,
        request.max_bytes,
    )
    by_name = {tensor.name: tensor for tensor in model.weights.tensors}
    if request.verify:
        check_vocabulary(keys, model.probes)
    return Job(
        request,
        model,
        tuple(targets),
        tuple(by_name[name] for name in targets[0].types),
        imatrix,
    )


def _check(request: Request) -> None:
    unknown = [ftype for ftype in request.ftypes if ftype not in FTYPES]
    if unknown:
        raise ConversionError(
            f"There is no type {', '.join(unknown)}. The types are: {', '.join(FTYPES)}."
        )
    if not request.ftypes:
        raise ConversionError("No type is asked for. Give --quant TYPE or --preset NAME.")
    if not 0 < (request.context_length or 1) < MAX_CONTEXT:
        raise ConversionError(f"A context of {request.context_length} tokens is too long.")
    if len(set(request.ftypes)) < len(request.ftypes):
        raise ConversionError(f"A type is asked for twice: {', '.join(request.ftypes)}.")
    if request.merge_base not in MERGE_BASES:
        raise ConversionError(
            f"There is no merge base {request.merge_base}. There are: {', '.join(MERGE_BASES)}."
        )
    if request.merge_base != "original" and request.adapter is None:
        raise ConversionError("--merge-base says what an adapter is merged into: give --adapter.")
    if request.pre == "":
        raise ConversionError("--pre is empty. Leave it out, or give llama.cpp's name.")
    if (pattern := request.name) is not None:
        if Path(pattern).name != pattern or not pattern.endswith(".gguf"):
            raise ConversionError(f"{pattern!r} is no file name that ends in .gguf.")
        if TYPE not in pattern and len(request.ftypes) > 1:
            raise ConversionError(f"{pattern!r} has no {TYPE}, and there are several types.")


def _open_model(request: Request, *, weights: bool) -> Model:
    source = open_source(request.base, weights=weights)
    given = None if request.adapter is None else open_adapter_source(request.adapter)
    llama = arch.read_llama(source.config)
    merged = Merged(source.checkpoint, given.adapter if given else None, request.merge_base)
    if EMBEDDING in merged.changes:
        llama = replace(llama, vocab_size=merged.infos[EMBEDDING].shape[0])
    model = ModelWeights(merged, llama)
    folder = given.folder if given and given.has_tokenizer else source.folder
    vocabulary = read_vocabulary(
        folder, llama.vocab_size, source.folder, source.config, request.pre
    )
    label = given.label if given else source.label
    writer = GGUFWriter(None, "llama")
    card.add_keys(
        writer,
        _card(request, vocabulary.tokens.texts),
        sum(tensor.size for tensor in model.tensors),
        label=label,
        folder=given.folder if given else source.folder,
        base=(_base_label(source, given), source.folder) if given else None,
    )
    arch.add_keys(writer, llama, request.context_length)
    vocab.add_keys(writer, vocabulary)
    origin = _origin(request, source, given)
    for name, value in origin.items():
        writer.add_string(f"relay.{name}", value)
    return Model(
        label,
        model,
        _with_template(request, collected(writer)),
        vocabulary.probes(),
        (source.folder, *([given.folder] if given else [])),
        origin,
        tuple(_notes(request, vocabulary, given)),
    )


def _open_gguf(request: Request) -> Model:
    if request.adapter is not None:
        raise ConversionError(
            "An adapter is merged into a model in safetensors, not into a GGUF file: "
            "give the base's folder or its name on the hub."
        )
    path = Path(request.base).expanduser()
    weights = GgufWeights(path)
    keys = dict(weights.keys)
    found = keys["general.architecture"].value if "general.architecture" in keys else "none"
    if found != "llama":
        raise ConversionError(f"{path} is of the architecture {found}; llama can be converted.")
    stem = re.sub(r"(?i)[-.](f32|f16|bf16)$", "", path.name.removesuffix(".gguf"))
    tokens = keys["tokenizer.ggml.tokens"].value if "tokenizer.ggml.tokens" in keys else ()
    keys |= collected(card.said(_card(request, tokens)))
    if request.context_length is not None:
        value = Value(request.context_length, Kind.UINT32)
        keys["llama.context_length"] = value
    return Model(stem, weights, _with_template(request, keys), {}, (path,), {"source": path.name})


def _card(request: Request, tokens: Sequence[str]) -> Card:
    """What is said of the model; with our template, the original's sampling under it."""
    if request.template != "relay" or not {IM_START, IM_END} <= set(tokens):
        return request.card
    return replace(request.card, sampling={**RELAY_SAMPLING, **request.card.sampling})


def _with_template(request: Request, keys: Keys) -> Keys:
    return embedded(keys) if request.template == "relay" else keys


def _base_label(source: Source, given: AdapterSource) -> str:
    """The base's name; that which the adapter has for it, where a folder bears its last part."""
    known = str(given.adapter.config.get("base_model_name_or_path") or "")
    owner, _, name = known.rpartition("/")
    is_repo = bool(owner) and not owner.startswith((".", "/", "~")) and "/" not in owner
    return known if is_repo and name == source.label else source.label


def _origin(request: Request, source: Source, given: AdapterSource | None) -> dict[str, str]:
    """Where the weights come from, for the file's keys and the report."""
    if given is None:
        return {"source": source.label}
    return {
        "source": source.label,
        "adapter": given.label,
        "adapter_sha256": given.fingerprint(),
        "merge_base": request.merge_base,
    }


def _notes(request: Request, vocabulary: Vocabulary, given: AdapterSource | None) -> list[str]:
    notes = list(vocabulary.notes)
    if given is None:
        return notes
    if request.merge_base == "original" and given.says_qlora:
        notes.append(
            "The adapter was trained in 4 bits. --merge-base nf4-double merges it into the weights "
            "that training saw, which is closer to what it learned."
        )
    return notes


def _with_imatrix(keys: Keys, imatrix: Imatrix) -> Keys:
    """What llama.cpp's quantizer notes of an imatrix."""
    text, number = Kind.STRING, Kind.UINT32
    added = {
        "quantize.imatrix.file": Value(imatrix.file, text),
        "quantize.imatrix.dataset": Value(", ".join(imatrix.datasets), text),
        "quantize.imatrix.entries_count": Value(len(imatrix.weights), number),
        "quantize.imatrix.chunks_count": Value(imatrix.chunks, number),
    }
    return dict(keys) | {name: value for name, value in added.items() if value.value}
