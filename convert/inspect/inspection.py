"""The checks of a GGUF file for chatting as Relay, by its header and its size."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from typing import Final

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from relay_gguf.chatml import IM_START
from relay_gguf.convert.template import KEY, template_kind, with_relay_template
from relay_gguf.display import listed, size
from relay_gguf.fit.memory import DEFAULT_N_CTX
from relay_gguf.gguf_file.faults import ALL, FileFault, Part, faults
from relay_gguf.gguf_file.gguf_model import (
    EMBEDDING,
    OUTPUT,
    GgufModel,
    Shard,
    tensor_bytes,
    type_name,
)
from relay_gguf.gguf_file.header import ALIGNMENT
from relay_gguf.gguf_file.name import parse_name
from relay_gguf.gguf_file.values import integer, text

from .finding import AGAIN, Finding, note, ok, problem
from .token_checks import check_bos, check_chatml, check_eos, check_vocabulary, tokens_of

LONGEST: Final = 131072
"""Tokens of context that Mistral-Nemo reads; its config claims eight times as many."""
FEW_BITS: Final = 4
WITHOUT_TENSORS: Final[tuple[Part, ...]] = ("keys", "vocabulary")
"""The parts of a file that are checked where some of its tensors are not there."""
SAMPLERS: Final = (
    *("dry", "top_k", "typ_p", "top_p", "top_n_sigma", "min_p", "temperature", "xtc", "infill"),
    *("penalties", "adaptive_p"),
)
"""The samplers that llama.cpp knows in `general.sampling.sequence`; it skips other names."""
RANGES: Final = {
    "temp": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "penalty_repeat": (0.5, 2.0),
}
"""Sampling settings → the range outside of which replies make no sense."""


def inspect(model: GgufModel) -> list[Finding]:
    """The findings on a file; for a file that is not a chat model, only those that apply to it."""
    found = [*_check_file(model), *_check_kind(model)]
    if any(finding.check == "kind" for finding in found):
        return found
    is_whole = not any(finding.level == "problem" for finding in found)
    found += [_refused(fault) for fault in faults(model, ALL if is_whole else WITHOUT_TENSORS)]
    for check in (
        *(check_vocabulary, check_chatml, check_eos, check_bos),
        *(_check_template, _check_context, _check_sampling, _check_types),
    ):
        found += check(model)
    return found


def _refused(fault: FileFault) -> Finding:
    """The finding on what llama.cpp refuses, or ends the process over."""
    end = "." if "llama.cpp" in fault.text else ": llama.cpp refuses the file."
    return problem(fault.check, f"{fault.text}{end}", AGAIN)


def _check_file(model: GgufModel) -> Iterator[Finding]:
    """The file has all its shards, and these all bytes of their tensors."""
    count = integer(model.metadata, "split.count") or 1
    if count > 1 and parse_name(model.path.name).count != count:
        what = f"It is shard 1 of {count} and not named so: llama.cpp does not find the others."
        yield problem("file", what, f"Name the shards NAME-00001-of-{count:05d}.gguf and so on.")
        return
    if model.missing:
        what = f"{len(model.missing)} of {count} shards are missing: {listed(model.missing)}."
        yield problem("file", what, "Put all shards into one folder.")
        return
    faults = [finding for shard in model.shards if (finding := _fault(shard))]
    yield from faults
    n_tensors, told = len(model.tensors), integer(model.metadata, "split.tensors.count")
    if count > 1 and told is not None and told != n_tensors:
        what = f"The shards have {n_tensors} tensors and should have {told}."
        yield problem("file", what, AGAIN)
    elif not faults and n_tensors:
        what = f"{count} shards with " if count > 1 else ""
        yield ok("file", f"The file is whole: {what}{n_tensors} tensors.")


def _fault(shard: Shard) -> Finding | None:
    """What is wrong with the places of a file's tensors; None if nothing is."""
    alignment = integer(shard.header.metadata, "general.alignment") or ALIGNMENT
    expected = 0
    for info in shard.header.tensors:
        n_bytes = tensor_bytes(info)
        if n_bytes is None:
            what = f"{info.name} is of {type_name(info)}, which relay-gguf does not know."
            return note("file", f"{what} Whether the file is whole was not checked.")
        if info.offset != expected:
            what = f"{shard.path.name}: {info.name} does not begin where the tensor before it ends"
            return problem("file", f"{what}: llama.cpp refuses the file.", AGAIN)
        expected = -(-(info.offset + n_bytes) // alignment) * alignment
    if shard.needed <= shard.size:
        return None
    what = f"{shard.path.name} is truncated: it has {shard.size:,} bytes of {shard.needed:,}."
    return problem("file", what, AGAIN)


def _check_kind(model: GgufModel) -> Iterator[Finding]:
    """The file is something else than a model that chats."""
    metadata, arch = model.metadata, model.architecture
    kind = text(metadata, "general.type") or "model"
    causal = metadata.get(f"{arch}.attention.causal")
    if not arch:
        what = "The file does not say what it is: general.architecture is missing."
    elif kind != "model":
        what = f"This is not a model: general.type is {kind}."
    elif causal is not None and causal.value is False:
        what = f"{arch} reads text and writes none: it is for embeddings."
    elif not text(metadata, "tokenizer.ggml.model") or not tokens_of(model):
        what = "There is no vocabulary: this is a piece of a model, or not a language model."
    elif not model.tensors and not model.missing:
        what = "There is a vocabulary and no tensor: this was made to test tokenizers."
    else:
        return
    yield problem("kind", what, "Take a language model's own GGUF file.")


def _check_template(model: GgufModel) -> Iterator[Finding]:
    """The chat template, by which apps write a conversation as text."""
    template = text(model.metadata, KEY)
    kind = template_kind(template)
    can_be_ours = IM_START in tokens_of(model)
    write = f"relay-gguf template {shlex.quote(str(model.path))} --write" if can_be_ours else ""
    if kind != "relay":
        what = {
            "chatml": "The chat template is ChatML for assistants",
            "other": "The chat template is for another kind of model",
            "none": "There is no chat template, and apps take one for assistants",
        }[kind]
        yield problem("template", f"{what}: wrong roles, no commands.", write)
        return
    ours = with_relay_template(model.metadata)
    if template != ours[KEY].value:
        yield note(
            "template",
            "The chat template is Relay's, of another version or for other files.",
            write,
        )
    elif model.metadata.keys() - ours.keys():
        what = "Beside Relay's chat template there is another one, which apps may take."
        yield note("template", what, write)
    else:
        what = "The chat template is Relay's: roles and commands are right in every app."
        yield ok("template", what)


def _check_context(model: GgufModel) -> Iterator[Finding]:
    """The context length that the file claims."""
    length = model.context_length
    if length is None or length < 1:
        return  # one of the faults
    if length > LONGEST:
        need = model.memory(length)
        much = "far too much memory" if need is None else f"{size(need.kv)} of memory for it"
        what = f"The file claims a context of {length:,} tokens: an app that believes it takes"
        yield note(
            "context",
            f"{what} {much}.",
            f"Set {DEFAULT_N_CTX} in the app: llama-server -c {DEFAULT_N_CTX}",
        )
    elif length < DEFAULT_N_CTX:
        what = f"The context is {length:,} tokens; Relay was trained on {DEFAULT_N_CTX:,}."
        yield note("context", what)
    else:
        yield ok("context", f"The context is {length:,} tokens.")


def _check_sampling(model: GgufModel) -> Iterator[Finding]:
    """The sampling defaults that llama.cpp's programs take from the file."""
    given = model.sampling
    if not given:
        what = "There are no sampling defaults: apps take theirs, mostly a temperature of 0.8."
        yield note("sampling", what, "Set a temperature of 0.3 in the app.")
        return
    faults = []
    last = given.get("penalty_last_n")
    if isinstance(last, int) and last < 0:
        faults.append(f"penalty_last_n is {last}: llama.cpp takes it as 0, and penalizes nothing.")
    for name, (low, high) in RANGES.items():
        value = given.get(name, low)
        fits = isinstance(value, int | float) and math.isfinite(value) and low <= value <= high
        if not fits:
            faults.append(f"{name} is {value}; it should be from {low:g} to {high:g}.")
    again = "Set it in the app, or convert the model again."
    yield from (problem("sampling", fault, again) for fault in faults)
    order = given.get("sequence")
    names = order.split(";") if isinstance(order, str) else []
    unknown = [name for name in names if name not in SAMPLERS]
    if unknown:
        yield note("sampling", f"The order of samplers has unknown ones: {listed(unknown)}.")
    if not faults and not unknown:
        yield ok("sampling", "The sampling defaults are sound.")


def _check_types(model: GgufModel) -> Iterator[Finding]:
    """The types of the matrices that hold the tokens, with those of ChatML that training added."""
    for name, what in ((EMBEDDING, "The embedding"), (OUTPUT, "The output")):
        info = model.tensor(name)
        if info is None or tensor_bytes(info) is None:
            continue
        block, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(info.ggml_type)]
        bits = 8 * n_bytes / block
        if bits < FEW_BITS:
            low = f"{what} is {type_name(info)}, {bits:.1f} bits a weight, and has ChatML's tokens."
            yield note("types", low, "Take a larger file if replies are poor.")
