"""The checks of a GGUF file's tokens, by what llama.cpp makes of each fault.

What it makes of each was tried with files that have it (llama.cpp of llama-cpp-python 0.3.36).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gguf import TokenType

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.convert.template import BOS_BY_DEFAULT
from relay_gguf.gguf_file.faults import VOCABULARY, faults
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.gguf_file.token_faults import BYTE_LEVEL, SENTENCEPIECE
from relay_gguf.gguf_file.values import integer, integers, text, texts

from .finding import CONVERT, Finding, note, ok, problem


def tokens_of(model: GgufModel) -> Sequence[str]:
    """The tokens' texts, by id."""
    return texts(model.metadata, "tokenizer.ggml.tokens")


def check_vocabulary(model: GgufModel) -> Iterator[Finding]:
    """Text is cut into words as in training; faults for which llama.cpp refuses are others."""
    kind = text(model.metadata, "tokenizer.ggml.model")
    if kind == BYTE_LEVEL and not text(model.metadata, "tokenizer.ggml.pre"):
        what = "The file does not say how to cut text into words (tokenizer.ggml.pre)"
        yield note("vocabulary", f"{what}: replies get worse.", CONVERT)
    elif next(faults(model, VOCABULARY), None) is None:
        yield ok("vocabulary", f"{len(tokens_of(model)):,} tokens, none of them twice.")


def check_chatml(model: GgufModel) -> Iterator[Finding]:
    """The tokens that frame a turn are there, and nobody can type them."""
    tokens, types = tokens_of(model), integers(model.metadata, "tokenizer.ggml.token_type")
    missing = [token for token in (IM_START, IM_END) if token not in tokens]
    if missing:
        what = f"The vocabulary lacks {' and '.join(missing)}: Relay speaks ChatML."
        yield problem("chatml", what, "Take a model that was trained with these tokens.")
        return
    numbers = {token: tokens.index(token) for token in (IM_START, IM_END)}
    found = {token: types[n] if n < len(types) else 1 for token, n in numbers.items()}
    if all(kind == TokenType.CONTROL for kind in found.values()):
        named = [f"{token} ({number})" for token, number in numbers.items()]
        yield ok("chatml", f"{' and '.join(named)} are control tokens.")
    if found[IM_START] == TokenType.USER_DEFINED:
        what = f"{IM_START} is a user-defined token: whoever types it begins a turn."
        yield note("chatml", what, CONVERT)
    elif found[IM_START] == TokenType.UNKNOWN:
        what = f"{IM_START} is marked as unknown: programs may print it."
        yield note("chatml", what, CONVERT)
    elif found[IM_START] != TokenType.CONTROL:
        what = (
            f"{IM_START} is not a control token: llama.cpp reads it as letters, and no turn begins."
        )
        yield problem("chatml", what, CONVERT)
    if found[IM_END] != TokenType.CONTROL:
        what = f"{IM_END} is not a control token. llama.cpp corrects that, other programs print it."
        yield note("chatml", what, CONVERT)


def check_eos(model: GgufModel) -> Iterator[Finding]:
    """A turn ends with <|im_end|>."""
    tokens = tokens_of(model)
    eos = integer(model.metadata, "tokenizer.ggml.eos_token_id")
    if IM_END not in tokens:
        return
    if eos == tokens.index(IM_END):
        yield ok("eos", f"A reply ends with {IM_END}.")
        return
    named = "not set"
    if eos is not None:
        named = tokens[eos] if 0 <= eos < len(tokens) else f"token {eos}, which is not there"
    what = f"The end of a reply is {named}. llama.cpp also stops at {IM_END}, others may not."
    yield note("eos", what, f"Set {IM_END} as stop string in the app, or convert the model again.")


def check_bos(model: GgufModel) -> Iterator[Finding]:
    """Whether prompts begin with BOS, and with which token."""
    metadata, tokens = model.metadata, tokens_of(model)
    sentencepiece = text(metadata, "tokenizer.ggml.model") == SENTENCEPIECE
    bos = integer(metadata, "tokenizer.ggml.bos_token_id")
    if bos is None and sentencepiece:
        bos = 1
    told = metadata.get("tokenizer.ggml.add_bos_token")
    by_default = sentencepiece or text(metadata, "tokenizer.ggml.pre") in BOS_BY_DEFAULT
    add = bool(told.value) if told else by_default
    if bos is None or not 0 <= bos < len(tokens):
        if add:
            what = "Prompts should begin with BOS, and the file has no such token"
            yield problem("bos", f"{what}: llama.cpp takes one by chance.", CONVERT)
        else:
            yield ok("bos", "There is no BOS.")
    elif not add and tokens[bos] == "<s>":
        what = "Prompts begin without <s>, with which Mistral's models were trained."
        yield note("bos", what, CONVERT)
    else:
        yield ok("bos", f"Prompts begin {f'with {tokens[bos]}' if add else 'without BOS'}.")
