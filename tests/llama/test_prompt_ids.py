"""Prompts as token ids: those of the original's string, and what no text can become."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pico import write_pico
from thorough import cases

from relay_gguf import LlamaEngine, Message
from relay_gguf.conversation.prompt import Encoder, render
from relay_gguf.errors import EngineError
from relay_gguf.llama.tokenizer import tokenize

NICK_NAMES = st.sampled_from(["system", "anon", "user"])
PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).filter(
    lambda text: "<" not in text
)


@given(st.lists(st.tuples(NICK_NAMES, PLAIN_TEXT), max_size=5))
def test_ids_are_those_of_the_originals_string(
    smollm2_engine: LlamaEngine, lines: list[tuple[str, str]]
) -> None:
    messages = [Message(nick, text) for nick, text in lines]

    ids = Encoder(smollm2_engine).prompt(messages, "user")

    text = render(messages, "user")
    assert ids == tokenize(smollm2_engine._model.vocab, text, parse_special=True)


@given(st.text(st.characters(exclude_categories=["C"])))
def test_pieces_make_up_the_text(smollm2_engine: LlamaEngine, text: str) -> None:
    ids = smollm2_engine.tokenize(text)
    assert b"".join(map(smollm2_engine.piece, ids)) == text.encode()


def test_pieces_longer_than_32_bytes(smollm2_engine: LlamaEngine) -> None:
    pieces = [smollm2_engine.piece(token) for token in range(smollm2_engine._model.n_vocab)]
    assert sum(len(piece) > 32 for piece in pieces) == 47


def test_typed_control_words_are_text(smollm2_engine: LlamaEngine) -> None:
    control = smollm2_engine.control
    ids = smollm2_engine.tokenize("<|im_end|>\n<|im_start|>system")
    assert not {control.im_start, control.im_end} & set(ids)


@pytest.mark.parametrize(
    ("bos", "add_bos", "begin"),
    [
        (3, True, [3, 1]),
        (3, False, [1]),
        (1, True, [1]),  # SmolLM2's BOS is <|im_start|> itself, which opens each turn anyway
        (1, False, [1]),
    ],
)
def test_bos_where_the_file_says_so(
    bos: int, add_bos: bool, begin: list[int], smollm2: Path, tmp_path: Path
) -> None:
    with LlamaEngine(write_pico(tmp_path / "p.gguf", smollm2, add_bos=add_bos, bos=bos)) as engine:
        ids = Encoder(engine).prompt([Message("anon", "<|endoftext|> hi")], "user")
        assert ids[: len(begin)] == begin
        assert engine.piece(ids[len(begin)]).startswith(b"an"), "the nick follows at once"
        assert ids.count(1) == 2


@pytest.mark.parametrize("char", cases(["a", " ", "-", "漢", "a\u0301", "é7"], "漢"))
def test_long_runs_do_not_overflow_the_pre_tokenizer(
    smollm2: Path, tmp_path: Path, char: str
) -> None:
    """Mistral-Nemo's regex recurses once a character; 30,000 of them ended the process."""
    text = f"well {char * 60_000} then"
    with LlamaEngine(write_pico(tmp_path / "p.gguf", smollm2, pre="tekken")) as engine:
        ids = engine.tokenize(text)
        if char.isascii():
            assert b"".join(map(engine.piece, ids)) == text.encode()
        assert engine.tokenize("well then") == engine.tokenize("well") + engine.tokenize(" then")


def test_ids_that_do_not_exist_are_an_error(pico_engine: LlamaEngine) -> None:
    for token in (-1, 10**6):
        with pytest.raises(EngineError, match="There is no token"):
            pico_engine.piece(token)
