"""The model of a conversion, opened: its tensors, its metadata, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import gguf
from gguf import GGUFWriter

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.errors import ConversionError, SettingsError
from relay_gguf.gguf_file.header import Metadata, Value, ValueType
from relay_gguf.gguf_file.name import parse_name
from relay_gguf.hub.fetching import Fetching

from .arch.gguf_adapter import open_gguf_adapter
from .arch.gguf_base import GgufBase, check_model
from .arch.llama import Llama, add_llama_metadata, read_llama
from .arch.weights import GgufWeights, ModelWeights, Weights
from .metadata import (
    RELAY_SAMPLING,
    MetadataOverride,
    add_general_metadata,
    of_file,
    of_folder,
    overrides_alone,
)
from .origin import add_origin, base_label, merge_origin, requantized, requantizing
from .read.adapter_notes import adapter_notes
from .read.merge import EMBEDDING, Merged
from .read.source import (
    AdapterSource,
    MergeChoice,
    choose_base,
    locate_file,
    open_adapter_source,
    open_source,
    refuse_remote_file,
)
from .request import Request
from .template import with_relay_template
from .vocab.hf_tokenizer import HfVocabulary, add_tokenizer_metadata, read_vocabulary
from .write.layout import metadata_of

OF_THE_BASE: Final = ("general.", "relay.", "quantize.")
"""Beginnings of the keys that describe a base, and not the model that is merged from it."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model to convert: its tensors, metadata and vocabulary."""

    label: str  # `owner/name`, or the name of its folder or file
    weights: Weights
    metadata: Metadata
    vocabulary: HfVocabulary | None  # Hugging Face's, where there is one
    paths: tuple[Path, ...]  # the folders and files that are read
    origin: Mapping[str, str]  # what `relay.*` notes: source, adapter, merge_base, ...
    notes: tuple[str, ...] = ()  # for the user
    fetching: Fetching | None = None  # reads what is on the hub alone

    @property
    def probes(self) -> Mapping[str, Sequence[int]]:
        """Texts that llama.cpp must tokenize alike, and their token ids by the tokenizer."""
        return self.vocabulary.probes() if self.vocabulary else {}


def open_model(
    request: Request,
    *,
    weights: bool = True,
    notice: Callable[[str], None] = lambda text: None,
) -> Model:
    """Open the base of a request, and its adapter.

    Args:
        request: names both.
        weights: False reads no weights of a repository.
        notice: is told when the hub does not answer.

    Raises:
        ConversionError: a file cannot be read, or base and adapter do not fit together.
        SettingsError: a pre-tokenizer is named for a GGUF file that has another one.
        ModelError: a GGUF file does not exist or is damaged, or the hub does not have the model or
            cannot be reached.
    """
    if not request.base.endswith(".gguf"):
        return _open_folder(request, weights, notice)
    refuse_remote_file(request.base)
    return _open_gguf(request) if request.adapter is None else _open_merged_gguf(request)


def _open_adapter(name: str, llama: Llama) -> AdapterSource:
    if not name.endswith(".gguf"):
        return open_adapter_source(name)
    path = locate_file(name)
    return open_gguf_adapter(path, llama, label=parse_name(path.name).model)


def _adapter_metadata(given: AdapterSource, n_parameters: int) -> gguf.Metadata:
    if given.metadata is None:
        return of_folder(given.label, given.folder, n_parameters)
    return of_file(given.label, given.metadata, n_parameters)


def _open_folder(request: Request, weights: bool, notice: Callable[[str], None]) -> Model:
    keep = request.keep_source
    source = open_source(request.base, weights=weights, keep=keep, notice=notice)
    llama = read_llama(source.config)
    given = None if request.adapter is None else _open_adapter(request.adapter, llama)
    sha256 = given.fingerprint() if given else None
    infos = source.checkpoint.infos.values()
    choice = _choice(request, given, in_nf4=any(info.dtype == "NF4" for info in infos))
    merged = Merged(source.checkpoint, given.adapter if given else None, choice.base)
    if EMBEDDING in merged.changes:
        llama = replace(llama, vocab_size=merged.infos[EMBEDDING].shape[0])
    model = ModelWeights(merged, llama)
    folder = given.folder if given and given.has_tokenizer else source.folder
    vocabulary = read_vocabulary(
        folder,
        llama.vocab_size,
        base=source.folder,
        config=source.config,
        pre=request.pre,
    )
    label = given.label if given else source.label
    n_parameters = sum(tensor.size for tensor in model.tensors)
    base = None
    found = of_folder(source.label, source.folder, n_parameters)
    if given:
        name = base_label(source.label, given)
        base = name, of_folder(name, source.folder, n_parameters)
        found = _adapter_metadata(given, n_parameters)
    writer = GGUFWriter(None, "llama")
    add_general_metadata(
        writer,
        _override(request, vocabulary.tokens.texts),
        n_parameters,
        label=label,
        metadata=found,
        base=base,
    )
    add_llama_metadata(writer, llama, request.context_length)
    add_tokenizer_metadata(writer, vocabulary)
    origin = {"source": source.address}
    if given and sha256:
        origin |= merge_origin(given, choice, sha256.result())
    add_origin(writer, origin)
    return Model(
        label=label,
        weights=model,
        metadata=_with_template(request, metadata_of(writer)),
        vocabulary=vocabulary,
        paths=(source.folder, *([given.folder] if given else [])),
        origin=origin,
        notes=(*vocabulary.notes, *_adapter_notes(source.label, given), *choice.notes),
        fetching=source.fetching,
    )


def _open_gguf(request: Request) -> Model:
    path = Path(request.base).expanduser()
    weights = GgufWeights(path, allow_requantize=request.allow_requantize)
    check_model(weights.metadata, path)
    _check_pre(request.pre, weights.metadata, path)
    metadata = dict(weights.metadata)
    override = _override(request, _tokens(metadata))
    metadata |= metadata_of(overrides_alone(override))
    found = requantized(weights)
    writer = GGUFWriter(None, "llama")
    add_origin(writer, found)
    return Model(
        label=parse_name(path.name).model,
        weights=weights,
        metadata=_with_template(request, _with_context(request, metadata | metadata_of(writer))),
        vocabulary=None,
        paths=weights.paths,
        origin={"source": path.name} | found,
        notes=tuple(requantizing(path, found)),
    )


def _open_merged_gguf(request: Request) -> Model:
    """A GGUF file as base, whose metadata of vocabulary and RoPE is copied, and its adapter."""
    path = Path(request.base).expanduser()
    base = GgufBase(path, allow_requantize=request.allow_requantize)
    _check_pre(request.pre, base.weights.metadata, path)
    given = _open_adapter(str(request.adapter), base.llama)
    sha256 = given.fingerprint()
    choice = _choice(request, given, in_nf4=False)
    merged = Merged(base, given.adapter, choice.base)
    vocabulary = _same_vocabulary(given, base, merged)
    model = ModelWeights(merged, base.llama, base.factors)
    copied = {n: v for n, v in base.weights.metadata.items() if not n.startswith(OF_THE_BASE)}
    n_parameters = sum(tensor.size for tensor in model.tensors)
    label = base_label(parse_name(path.name).model, given)
    writer = GGUFWriter(None, "llama")
    add_general_metadata(
        writer,
        _override(request, _tokens(copied)),
        n_parameters,
        label=given.label,
        metadata=_adapter_metadata(given, n_parameters),
        base=(label, of_file(label, base.weights.metadata, n_parameters)),
    )
    found = requantized(base.weights)
    origin = {"source": path.name} | found | merge_origin(given, choice, sha256.result())
    general = metadata_of(writer)
    add_origin(writer, origin)
    noted = {key: value for key, value in metadata_of(writer).items() if key not in general}
    return Model(
        label=given.label,
        weights=model,
        metadata=_with_template(request, _with_context(request, general | copied | noted)),
        vocabulary=vocabulary,
        paths=(*base.weights.paths, given.folder),
        origin=origin,
        notes=(
            *requantizing(path, found),
            *_adapter_notes(parse_name(path.name).model, given),
            *choice.notes,
        ),
    )


def _adapter_notes(base: str, given: AdapterSource | None) -> Iterator[str]:
    return iter(()) if given is None else adapter_notes(given, base)


def _tokens(metadata: Metadata) -> Sequence[str]:
    found = metadata.get("tokenizer.ggml.tokens")
    return () if found is None else found.value


def _check_pre(asked: str | None, metadata: Metadata, path: Path) -> None:
    """Refuse a `--pre` that differs from the pre-tokenizer of a GGUF file.

    Raises:
        SettingsError: it does.
    """
    value = metadata.get("tokenizer.ggml.pre")
    found = None if value is None else value.value
    if asked not in (None, found):
        which = "" if found is None else f", {found}"
        raise SettingsError(
            f"--pre is for a model in safetensors: {path} is a GGUF file, which has its "
            f"pre-tokenizer already{which}. Leave --pre out."
        )


def _same_vocabulary(given: AdapterSource, base: GgufBase, merged: Merged) -> HfVocabulary | None:
    """The adapter's vocabulary, which must equal that of the base; None if it has none.

    Raises:
        ConversionError: they differ, or the adapter's embedding has more rows than the base's.
    """
    rows = merged.infos[EMBEDDING].shape[0]
    known = base.llama.vocab_size
    found = None
    if given.has_tokenizer and rows == known:
        found = read_vocabulary(given.folder, known, base=given.folder, config={}, pre="any")
        tokens = base.weights.metadata.get("tokenizer.ggml.tokens")
        if tokens is not None and list(tokens.value) == list(found.tokens.texts):
            return found
    if rows != known or found is not None:
        raise ConversionError(
            f"The adapter {given.label} has another vocabulary than {base.path}. Merging it needs "
            "the base in safetensors: give its folder or its name on the hub."
        )
    return None


def _choice(request: Request, given: AdapterSource | None, *, in_nf4: bool) -> MergeChoice:
    if given is None:
        return MergeChoice("original", "")
    return choose_base(request.merge_base, given, in_nf4=in_nf4)


def _override(request: Request, tokens: Sequence[str]) -> MetadataOverride:
    """The user's values; with Relay's template also its sampling settings, which they precede."""
    if request.template != "relay" or not {IM_START, IM_END} <= set(tokens):
        return request.metadata
    return replace(request.metadata, sampling={**RELAY_SAMPLING, **request.metadata.sampling})


def _with_template(request: Request, metadata: Metadata) -> Metadata:
    return with_relay_template(metadata) if request.template == "relay" else metadata


def _with_context(request: Request, metadata: Metadata) -> Metadata:
    if request.context_length is None:
        return metadata
    return dict(metadata) | {
        "llama.context_length": Value(request.context_length, ValueType.UINT32)
    }
