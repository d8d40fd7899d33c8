"""The model that is converted, opened: its tensors, its keys, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gguf import GGUFWriter

from relay_gguf.conversation.prompt import IM_END, IM_START
from relay_gguf.errors import ConversionError, SettingsError
from relay_gguf.gguf_file.header import Keys, Kind, Value

from . import metadata
from .arch import llama as arch
from .arch.gguf_base import GgufBase, check_architecture
from .arch.weights import GgufWeights, ModelWeights, Weights
from .metadata import RELAY_SAMPLING, Card
from .read.merge import EMBEDDING, Merged
from .read.source import AdapterSource, Choice, choose_base, open_adapter_source, open_source
from .template import embedded
from .vocab import vocabulary as vocab
from .vocab.vocabulary import Vocabulary, read_vocabulary
from .write.header import collected

if TYPE_CHECKING:
    from .job import Request

TYPE_AT_END: Final = re.compile(r"(?i)[-.](b?f16|f32|i?q\d\w*|mxfp4|tq\d\w*)$")
"""A type at the end of a file's name."""
OF_ANOTHER: Final = ("general.", "relay.", "quantize.")
"""Keys that tell of a base and not of what is merged into it."""


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


def open_model(request: Request, *, weights: bool = True) -> Model:
    """Open what a request names, and its adapter.

    Args:
        request: what is asked for.
        weights: False does not download a repository's weights.

    Raises:
        ConversionError: something cannot be read, or does not fit together.
        SettingsError: a pre-tokenizer is named for a GGUF file that has another one.
        ModelError: the hub does not have the model, or cannot be reached.
    """
    if not request.base.endswith(".gguf"):
        return _open_folder(request, weights=weights)
    if request.adapter is None:
        return _open_gguf(request)
    return _open_merged_gguf(request, open_adapter_source(request.adapter))


def _open_folder(request: Request, *, weights: bool) -> Model:
    source = open_source(request.base, weights=weights)
    given = None if request.adapter is None else open_adapter_source(request.adapter)
    llama = arch.read_llama(source.config)
    infos = source.checkpoint.infos.values()
    choice = _choice(request, given, in_nf4=any(info.dtype == "NF4" for info in infos))
    merged = Merged(source.checkpoint, given.adapter if given else None, choice.base)
    if EMBEDDING in merged.changes:
        llama = replace(llama, vocab_size=merged.infos[EMBEDDING].shape[0])
    model = ModelWeights(merged, llama)
    folder = given.folder if given and given.has_tokenizer else source.folder
    vocabulary = read_vocabulary(
        folder, llama.vocab_size, source.folder, source.config, request.pre
    )
    label = given.label if given else source.label
    n_parameters = sum(tensor.size for tensor in model.tensors)
    base = None
    if given:
        name = _base_label(source.label, given)
        base = name, metadata.of_folder(name, source.folder, n_parameters)
    writer = GGUFWriter(None, "llama")
    metadata.add_keys(
        writer,
        _card(request, vocabulary.tokens.texts),
        n_parameters,
        label=label,
        folder=given.folder if given else source.folder,
        base=base,
    )
    arch.add_keys(writer, llama, request.context_length)
    vocab.add_keys(writer, vocabulary)
    origin = {"source": source.label} | (_merge_origin(given, choice) if given else {})
    _add_origin(writer, origin)
    return Model(
        label,
        model,
        _with_template(request, collected(writer)),
        vocabulary.probes(),
        (source.folder, *([given.folder] if given else [])),
        origin,
        (*vocabulary.notes, *(choice.notes if given else ())),
    )


def _open_gguf(request: Request) -> Model:
    path = Path(request.base).expanduser()
    weights = GgufWeights(path, allow_requantize=request.allow_requantize)
    check_architecture(weights.keys, path)
    _check_pre(request.pre, weights.keys, path)
    keys = dict(weights.keys)
    tokens = keys["tokenizer.ggml.tokens"].value if "tokenizer.ggml.tokens" in keys else ()
    keys |= collected(metadata.said(_card(request, tokens)))
    requantized = _requantized(weights)
    writer = GGUFWriter(None, "llama")
    _add_origin(writer, requantized)
    return Model(
        TYPE_AT_END.sub("", path.name.removesuffix(".gguf")),
        weights,
        _with_template(request, _with_context(request, keys | collected(writer))),
        {},
        (path,),
        {"source": path.name} | requantized,
        tuple(_requantizing(path, requantized)),
    )


def _open_merged_gguf(request: Request, given: AdapterSource) -> Model:
    """A base whose vocabulary and rotations stay as its keys have them, and its adapter."""
    path = Path(request.base).expanduser()
    base = GgufBase(path, allow_requantize=request.allow_requantize)
    _check_pre(request.pre, base.weights.keys, path)
    choice = _choice(request, given, in_nf4=False)
    merged = Merged(base, given.adapter, choice.base)
    vocabulary = _same_vocabulary(given, base, merged)
    model = ModelWeights(merged, base.llama, base.factors)
    keys = {n: value for n, value in base.weights.keys.items() if not n.startswith(OF_ANOTHER)}
    tokens = keys["tokenizer.ggml.tokens"].value if "tokenizer.ggml.tokens" in keys else ()
    n_parameters = sum(tensor.size for tensor in model.tensors)
    label = _base_label(TYPE_AT_END.sub("", path.name.removesuffix(".gguf")), given)
    writer = GGUFWriter(None, "llama")
    metadata.add_keys(
        writer,
        _card(request, tokens),
        n_parameters,
        label=given.label,
        folder=given.folder,
        base=(label, metadata.of_keys(label, base.weights.keys, n_parameters)),
    )
    requantized = _requantized(base.weights)
    origin = {"source": path.name} | requantized | _merge_origin(given, choice)
    said = collected(writer)
    _add_origin(writer, origin)
    keys = said | keys | {n: v for n, v in collected(writer).items() if n not in said}
    return Model(
        given.label,
        model,
        _with_template(request, _with_context(request, keys)),
        vocabulary.probes() if vocabulary else {},
        (path, given.folder),
        origin,
        (*_requantizing(path, requantized), *choice.notes),
    )


def _check_pre(asked: str | None, keys: Keys, path: Path) -> None:
    """See to it that `--pre` asks for nothing else than a file has.

    Raises:
        SettingsError: it does.
    """
    found = keys["tokenizer.ggml.pre"].value if "tokenizer.ggml.pre" in keys else None
    if asked not in (None, found):
        which = "" if found is None else f", {found}"
        raise SettingsError(
            f"--pre is for a model in safetensors: {path} is a GGUF file, which has its "
            f"pre-tokenizer already{which}. Leave --pre out."
        )


def _same_vocabulary(given: AdapterSource, base: GgufBase, merged: Merged) -> Vocabulary | None:
    """The adapter's vocabulary, if it brings one, which must be that of the base.

    Raises:
        ConversionError: it is another one, or the adapter's embedding has other rows.
    """
    rows = merged.infos[EMBEDDING].shape[0]
    known = base.llama.vocab_size
    found = None
    if given.has_tokenizer and rows == known:
        found = read_vocabulary(given.folder, known, given.folder, {}, "any")
        tokens = base.weights.keys.get("tokenizer.ggml.tokens")
        if tokens is not None and list(tokens.value) == list(found.tokens.texts):
            return found
    if rows != known or found is not None:
        raise ConversionError(
            f"The adapter {given.label} brings a vocabulary of its own, which {base.path} does not "
            "have. Merging it needs the base in safetensors: give its folder or its name on the "
            "hub."
        )
    return None


def _choice(request: Request, given: AdapterSource | None, *, in_nf4: bool) -> Choice:
    if given is None:
        return Choice("original", "")
    return choose_base(request.merge_base, given, in_nf4=in_nf4)


def _card(request: Request, tokens: Sequence[str]) -> Card:
    """What is said of the model; with our template, the original's sampling under it."""
    if request.template != "relay" or not {IM_START, IM_END} <= set(tokens):
        return request.card
    return replace(request.card, sampling={**RELAY_SAMPLING, **request.card.sampling})


def _with_template(request: Request, keys: Keys) -> Keys:
    return embedded(keys) if request.template == "relay" else keys


def _with_context(request: Request, keys: Keys) -> Keys:
    if request.context_length is None:
        return keys
    return dict(keys) | {"llama.context_length": Value(request.context_length, Kind.UINT32)}


def _base_label(label: str, given: AdapterSource) -> str:
    """The base's name; that which the adapter has for it, where a folder bears its last part."""
    known = str(given.adapter.config.get("base_model_name_or_path") or "")
    owner, _, name = known.rpartition("/")
    is_repo = bool(owner) and not owner.startswith((".", "/", "~")) and "/" not in owner
    return known if is_repo and name == label else label


def _merge_origin(given: AdapterSource, choice: Choice) -> dict[str, str]:
    """Where an adapter's part comes from, for the file's keys and the report."""
    return {
        "adapter": given.label,
        "adapter_sha256": given.fingerprint(),
        "merge_base": choice.base,
        "merge_reason": choice.reason,
    }


def _add_origin(writer: GGUFWriter, origin: Mapping[str, str]) -> None:
    for name, value in origin.items():
        writer.add_string(f"relay.{name}", value)


def _requantized(weights: GgufWeights) -> dict[str, str]:
    kind = weights.quantized_as
    return {} if kind is None else {"base_type": kind}


def _requantizing(path: Path, requantized: Mapping[str, str]) -> Iterator[str]:
    if requantized:
        yield (
            f"{path.name} is quantized ({requantized['base_type']}): its errors are in the new "
            "files too."
        )
