"""Lines: read, written, cut, and long texts split into several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.irc.protocol.line import Line, cut, cut_bytes, encode, format_line, parse
from relay_gguf.irc.protocol.splitting import chunks, pieces, room

DATA = Path(__file__).parent / "data"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"))
WORD = TEXT.filter(lambda s: s and " " not in s and not s.startswith(":"))
VERB = st.from_regex(r"[A-Za-z]+|[0-9]{3}", fullmatch=True)
KEY = st.from_regex(r"\+?([a-z]+\.[a-z]+/)?[a-zA-Z0-9-]+", fullmatch=True)
VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
PARAMS = st.builds(lambda words, last: (*words, *last), st.lists(WORD), st.lists(TEXT, max_size=1))
LINES = st.builds(Line, VERB, PARAMS, st.just("") | WORD, st.dictionaries(KEY, VALUE, max_size=5))


def cases(name: str) -> list[dict[str, Any]]:
    data: dict[str, list[dict[str, Any]]] = yaml.safe_load((DATA / name).read_text("utf-8"))
    return data["tests"]


def of_atoms(atoms: dict[str, Any]) -> Line:
    return Line(
        atoms["verb"],
        tuple(atoms.get("params", ())),
        atoms.get("source", ""),
        atoms.get("tags", {}),
    )


@pytest.mark.parametrize("case", cases("msg-split.yaml"), ids=lambda case: case["input"])
def test_lines_are_read_as_the_parser_tests_say(case: dict[str, Any]) -> None:
    assert parse(case["input"]) == of_atoms(case["atoms"])


@pytest.mark.parametrize("case", cases("msg-join.yaml"), ids=lambda case: case["matches"][0])
def test_lines_are_written_as_the_parser_tests_say(case: dict[str, Any]) -> None:
    assert format_line(of_atoms(case["atoms"])) in case["matches"]


@given(LINES)
def test_what_is_written_reads_the_same(line: Line) -> None:
    assert parse(format_line(line)) == line


@given(
    st.builds(Line, VERB, st.lists(st.text()).map(tuple), st.just("server"), st.just({})),
)
def test_no_parameter_makes_a_second_line(line: Line) -> None:
    data = encode(line)
    assert len(data) <= 512
    assert data.endswith(b"\r\n")
    assert not re.search(rb"[\r\n\0]", data[:-2])
    back = parse(data[:-2].decode())
    assert back.verb == line.verb
    assert len(back.params) <= len(line.params)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (Line("433", ("*", "a b", "text")), "433 * a_b :text"),
        (Line("432", ("*", "", "text")), "432 * * :text"),
        (Line("401", ("n", "::x", "text")), "401 n x :text"),
        (Line("PRIVMSG", ("#c", "one\r\ntwo\0")), "PRIVMSG #c :one  two"),
        (Line("PRIVMSG", ("#c", "word")), "PRIVMSG #c :word"),
        (Line("MODE", ("#c", "+o", "anon")), "MODE #c +o anon"),
        (Line("JOIN", ("#c",)), "JOIN #c"),
        (Line("PART", ("#c",)), "PART #c"),
        (Line("QUIT", ("bye",)), "QUIT :bye"),
    ],
)
def test_parameters_are_changed_to_fit_their_place(line: Line, text: str) -> None:
    assert format_line(line) == text


@pytest.mark.parametrize("text", ["", " ", ":", ":source", "@tag", "@tag ", ":source "])
def test_a_line_without_a_verb_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="verb"):
        parse(text)


@given(TEXT, st.integers(0, 50))
def test_cutting_keeps_characters_whole(text: str, size: int) -> None:
    data = cut_bytes(text, size)
    assert len(data) <= size
    assert text.startswith(data.decode())
    assert cut(text, size) == data.decode()
    longer = text[: len(data.decode()) + 1]
    assert longer == data.decode() or len(longer.encode()) > size


WORDS = st.lists(st.text("abé漢👩", min_size=1, max_size=12)).map(" ".join)


@given(TEXT | WORDS, st.integers(4, 40))
def test_pieces_joined_are_the_text(text: str, size: int) -> None:
    parts = list(pieces(text, size))
    assert "".join(parts) == text
    assert all(len(part.encode()) <= size for part in parts)
    assert all(parts) or text == ""


@given(WORDS, st.integers(60, 90))
def test_short_words_are_never_cut(text: str, size: int) -> None:
    for part in list(pieces(text, size))[:-1]:
        assert part.endswith(" ")


@given(WORD.filter(lambda s: len(s.encode()) < 60), st.sampled_from(["#c", "#" + "x" * 60]), TEXT)
def test_no_piece_makes_a_line_too_long(nick: str, target: str, text: str) -> None:
    source = f"{nick}!{nick}@localhost"
    for piece in pieces(text * 20, room(source, "PRIVMSG", target)):
        line = Line("PRIVMSG", (target, piece), source)
        data = encode(line)
        assert len(data) <= 512
        assert parse(data[:-2].decode()).params[1] == piece  # so nothing was cut off


@given(st.lists(WORD), st.integers(1, 40))
def test_chunks_joined_are_the_words(words: list[str], size: int) -> None:
    lines = list(chunks(words, size))
    assert " ".join(lines) == " ".join(words)
    assert all(len(line.encode()) <= size or line in words for line in lines)
