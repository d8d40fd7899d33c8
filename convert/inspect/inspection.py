"""What is wrong with a GGUF file for Relay's use, by its head and its size."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from typing import Final

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from relay_gguf.conversation.prompt import IM_START
from relay_gguf.convert.template import KEY, embedded, kind_of
from relay_gguf.display import size
from relay_gguf.fit.memory import DEFAULT_N_CTX
from relay_gguf.gguf_file.facts import (
    EMBEDDING,
    OUTPUT,
    Facts,
    Part,
    listed,
    tensor_bytes,
    text,
    type_name,
    whole,
)
from relay_gguf.gguf_file.header import ALIGNMENT
from relay_gguf.gguf_file.name import parse_name

from .finding import AGAIN, Finding, note, ok, problem
from .token_checks import check_bos, check_chatml, check_eos, check_vocabulary, tokens_of

LONGEST: Final = 131072
"""Tokens of context that Mistral-Nemo reads; its config claims eight times as many."""
FEW_BITS: Final = 4
SAMPLERS: Final = (
    *("dry", "top_k", "typ_p", "top_p", "top_n_sigma", "min_p", "temperature", "xtc", "infill"),
    *("penalties", "adaptive_p"),
)
"""What llama.cpp knows in `general.sampling.sequence`; it passes over other names."""
RANGES: Final = {
    "temp": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "penalty_repeat": (0.5, 2.0),
}
"""Outside of these a model says nothing that makes sense."""


def inspect(facts: Facts) -> list[Finding]:
    """Check a file. Where it is no model that chats, only what can be said of it."""
    found = [*_check_file(facts), *_check_kind(facts)]
    if any(finding.check == "kind" for finding in found):
        return found
    for check in (
        *(check_vocabulary, check_chatml, check_eos, check_bos),
        *(_check_template, _check_context, _check_sampling, _check_types),
    ):
        found += check(facts)
    return found


def _check_file(facts: Facts) -> Iterator[Finding]:
    """All parts are there, and all bytes of their tensors."""
    count = whole(facts.keys, "split.count") or 1
    if count > 1 and parse_name(facts.path.name).count != count:
        what = f"It is part 1 of {count} and not named so: llama.cpp does not find the others."
        yield problem("file", what, f"Name the parts NAME-00001-of-{count:05d}.gguf and so on.")
        return
    if facts.missing:
        what = f"{len(facts.missing)} of {count} parts are missing: {listed(facts.missing)}."
        yield problem("file", what, "Put all parts into one folder.")
        return
    faults = [finding for part in facts.parts if (finding := _fault(part))]
    yield from faults
    n_tensors, told = len(facts.tensors), whole(facts.keys, "split.tensors.count")
    if count > 1 and told is not None and told != n_tensors:
        what = f"The parts have {n_tensors} tensors and should have {told}."
        yield problem("file", what, AGAIN)
    elif not faults and n_tensors:
        what = f"{count} parts with " if count > 1 else ""
        yield ok("file", f"The file is whole: {what}{n_tensors} tensors.")


def _fault(part: Part) -> Finding | None:
    """What is wrong with where a file's tensors lie."""
    alignment = whole(part.head.keys, "general.alignment") or ALIGNMENT
    expected = 0
    for info in part.head.tensors:
        n_bytes = tensor_bytes(info)
        if n_bytes is None:
            what = f"{info.name} is of {type_name(info)}, which relay-gguf does not know."
            return note("file", f"{what} Whether the file is whole was not checked.")
        if info.offset != expected:
            what = f"{part.path.name}: {info.name} does not begin where the tensor before it ends"
            return problem("file", f"{what}: llama.cpp refuses the file.", AGAIN)
        expected = -(-(info.offset + n_bytes) // alignment) * alignment
    if part.needed <= part.size:
        return None
    what = f"{part.path.name} is cut off: it has {part.size:,} bytes of {part.needed:,}."
    return problem("file", what, AGAIN)


def _check_kind(facts: Facts) -> Iterator[Finding]:
    """It is something else than a model that chats."""
    keys, arch = facts.keys, facts.architecture
    kind = text(keys, "general.type") or "model"
    causal = keys.get(f"{arch}.attention.causal")
    if not arch:
        what = "The file does not say what it is: general.architecture is lacking."
    elif kind != "model":
        what = f"This is no model, it is of the type {kind}."
    elif causal is not None and causal.value is False:
        what = f"{arch} reads text and writes none: it is for embeddings."
    elif not text(keys, "tokenizer.ggml.model") or not tokens_of(facts):
        what = "There is no vocabulary: this is a part of a model, or no language model."
    elif not facts.tensors and not facts.missing:
        what = "There is a vocabulary and no tensor: this was made to test tokenizers."
    else:
        return
    yield problem("kind", what, "Take a language model's own GGUF file.")


def _check_template(facts: Facts) -> Iterator[Finding]:
    """What an app makes of a conversation."""
    template = text(facts.keys, KEY)
    kind = kind_of(template)
    can_be_ours = IM_START in tokens_of(facts)
    write = f"relay-gguf template {shlex.quote(str(facts.path))} --write" if can_be_ours else ""
    if kind != "relay":
        what = {
            "chatml": "The chat template is ChatML for assistants",
            "other": "The chat template is for another kind of model",
            "none": "There is no chat template, and apps take one for assistants",
        }[kind]
        yield problem("template", f"{what}: wrong roles, no commands.", write)
        return
    ours = embedded(facts.keys)
    if template != ours[KEY].value:
        yield note(
            "template",
            "The chat template is Relay's, of another version or for other files.",
            write,
        )
    elif facts.keys.keys() - ours.keys():
        what = "Beside Relay's chat template there is another one, which apps may take."
        yield note("template", what, write)
    else:
        what = "The chat template is Relay's: roles and commands are right in every app."
        yield ok("template", what)


def _check_context(facts: Facts) -> Iterator[Finding]:
    """How long a text the file says that it reads."""
    length = facts.context_length
    if length is None:
        what = f"{facts.architecture}.context_length is lacking: llama.cpp refuses the file."
        yield problem("context", what, AGAIN)
    elif length > LONGEST:
        need = facts.memory(length)
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


def _check_sampling(facts: Facts) -> Iterator[Finding]:
    """Defaults that llama.cpp's programs take from the file."""
    given = facts.sampling
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


def _check_types(facts: Facts) -> Iterator[Finding]:
    """What the tokens are stored in, ChatML's among them, which training added."""
    for name, what in ((EMBEDDING, "The embedding"), (OUTPUT, "The output")):
        info = facts.tensor(name)
        if info is None or tensor_bytes(info) is None:
            continue
        block, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(info.ggml_type)]
        bits = 8 * n_bytes / block
        if bits < FEW_BITS:
            low = f"{what} is {type_name(info)}, {bits:.1f} bits a weight, and has ChatML's tokens."
            yield note("types", low, "Take a larger file if replies are poor.")
