"""Text for a screen: what a terminal would obey is spelled out, words wrap, lines fit."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from relay_gguf import display
from relay_gguf.conversation.messages import NICKS
from relay_gguf.display import (
    NICK_COLOURS,
    Wrap,
    cut,
    nick_colour,
    one_line,
    status_line,
    visible,
    width,
    wrap,
)

ANYTHING = st.text(st.characters(exclude_categories=()))
WORDS = st.lists(st.text("abcdé'-", min_size=1, max_size=9), min_size=1, max_size=40)
MIXED = st.text("abc é漢字ｶ。👩\u0301\n", max_size=120)
"""Narrow and wide letters, a combining one, spaces and line breaks; words of any length."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("hello, wörld 漢字 👩‍👧 e\u0301", "hello, wörld 漢字 👩‍👧 e\u0301"),
        ("one\ntwo\n\n three", "one\ntwo\n\n three"),
        ("a\tb", "a    b"),
        ("\x1b[2J\x1b[31mred\x1b[0m", "^[[2J^[[31mred^[[0m"),
        ("\x1b]0;title\x07", "^[]0;title^G"),
        ("\x1b]8;;http://x\x1b\\link", "^[]8;;http://x^[\\link"),
        ("ding\x07", "ding^G"),
        ("over\rwrite\x08\x0b\x0c", "over^Mwrite^H^K^L"),
        ("\x00\x1f\x7f", "^@^_^?"),
        ("\x02bold\x02 \x0304red\x03 \x1dslanted\x0f", "^Bbold^B ^C04red^C ^]slanted^O"),
        ("\x9b2J \x80\x9f\x85", "<U+009B>2J <U+0080><U+009F><U+0085>"),
        ("abc\u202edef\u202c", "abc<U+202E>def<U+202C>"),
        ("\u2066\u2067\u2068\u2069", "<U+2066><U+2067><U+2068><U+2069>"),
        ("\u200e\u200f\u061c", "<U+200E><U+200F><U+061C>"),
        ("\u2028\u2029\ufeff", "<U+2028><U+2029><U+FEFF>"),
        ("\ud800 \udcff", "<U+D800> <U+DCFF>"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANYTHING)
def test_no_control_character_but_the_line_break_is_left(text: str) -> None:
    shown = visible(text)
    left = {c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    assert left <= {"\n"}
    turned = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    assert not [c for c in shown if unicodedata.bidirectional(c) in turned]
    assert visible(shown) == shown


@given(ANYTHING)
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


def test_one_line_makes_one_space_of_many() -> None:
    assert one_line(" a\n\n b\tc\x1b ") == "a b c^["


@pytest.mark.parametrize(
    ("text", "columns", "column", "indent", "wrapped"),
    [
        ("", 20, 0, 0, ""),
        ("fits", 20, 0, 0, "fits"),
        ("one two three four", 12, 0, 0, "one two\nthree four"),
        ("one two three four", 20, 10, 4, "one two\n    three four"),
        ("one\ntwo\n\nthree", 20, 6, 6, "one\n      two\n      \n      three"),
        ("keep   gaps in a line", 40, 0, 0, "keep   gaps in a line"),
        ("a gap   here", 9, 0, 0, "a gap\nhere"),
        ("abcdefghijklmnopqrstuvwxyz", 12, 0, 0, "abcdefghijk\nlmnopqrstuv\nwxyz"),
        ("see abcdefghijklmnop", 12, 0, 0, "see\nabcdefghijk\nlmnop"),
        ("東京都は日本の首都です", 12, 0, 0, "東京都は日\n本の首都で\nす"),
        ("ab 漢字 cd 漢字", 12, 2, 2, "ab 漢字\n  cd 漢字"),
        ("a\x1b[31mb", 12, 0, 0, "a^[[31mb"),
    ],
)
def test_texts_wrap_at_words(
    text: str, columns: int, column: int, indent: int, wrapped: str
) -> None:
    assert wrap(text, columns, column, indent) == wrapped


@given(WORDS, st.integers(9, 60), st.integers(0, 12), st.integers(0, 20))
def test_without_its_inserted_breaks_the_text_is_as_it_was(
    words: list[str], room: int, indent: int, nick: int
) -> None:
    text = " ".join(words)
    wrapped = wrap(text, indent + 1 + room, indent + nick, indent)
    assert " ".join(wrapped.removeprefix("\n").split("\n" + " " * indent)).lstrip(" ") == text


@given(MIXED, st.integers(9, 60), st.integers(0, 12), st.integers(0, 20))
def test_nothing_is_lost_or_moved(text: str, room: int, indent: int, nick: int) -> None:
    wrapped = wrap(text, indent + 1 + room, indent + nick, indent)
    assert re.sub("[ \n]", "", wrapped) == re.sub("[ \n]", "", text)


@given(WORDS, st.sampled_from([" ", "  ", "\n", " \n", "漢", "漢字 "]), st.integers(12, 60))
def test_no_line_is_wider_than_the_columns(words: list[str], gap: str, room: int) -> None:
    indent, columns = 6, 6 + room + 1
    first, *rest = wrap(gap.join(words), columns, indent, indent).split("\n")
    assert get_cwidth(first) <= columns - indent
    assert all(get_cwidth(line) <= columns for line in rest)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" " * 50 + "word", id="more spaces than columns"),
        pytest.param("code:\n    " + "x" * 60, id="a long word after an indentation"),
    ],
)
def test_spaces_at_the_beginning_of_a_line_count(text: str) -> None:
    assert [line for line in wrap(text, 40).split("\n") if get_cwidth(line) > 40] == []


@given(MIXED, st.data())
def test_pieces_wrap_as_the_whole(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    wrapping = Wrap(lambda: 30, 12, 6)
    assert "".join(map(wrapping.feed, pieces)) + wrapping.flush() == wrap(text, 30, 12, 6)


def test_a_word_is_held_back_until_it_is_whole() -> None:
    wrapping = Wrap(lambda: 20, 0, 0)
    assert [*map(wrapping.feed, ["one tw", "o thr", "ee "]), wrapping.flush()] == [
        "one",
        " two",
        " three",
        "",
    ]


@pytest.mark.parametrize(
    "letter",
    [
        pytest.param("\U0001f1e9\U0001f1ea", id="a flag"),
        pytest.param("\U0001f44d\U0001f3fd", id="a skin tone"),
        pytest.param("\U0001f468\u200d\U0001f469\u200d\U0001f467", id="a family"),
        pytest.param("\u0915\u094d\u0937\u093f", id="a Devanagari syllable"),
        pytest.param("e\u0301", id="an accent"),
    ],
)
def test_no_line_breaks_within_a_letter(letter: str) -> None:
    for lead in range(1, 24):
        text = "a" * lead + letter * 5
        wrapping = Wrap(lambda: 20, 0, 2)
        pieces = "".join(map(wrapping.feed, text)) + wrapping.flush()
        assert pieces == wrap(text, 20, 0, 2)
        for line in pieces.split("\n"):
            assert not line.strip().lstrip("a").replace(letter, "")
            assert width(line) < 20


def test_cutting_looks_at_the_beginning_of_a_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    monkeypatch.setattr(display, "width", lambda text: measured.append(text) or len(text))
    assert cut("x" * 100_000, 24) == "x" * 23 + "…"
    assert len(measured) < 50
    assert max(map(len, measured)) <= 24


def test_each_line_asks_for_the_columns_of_the_window() -> None:
    columns = iter([*[40] * 11, *[14] * 100])
    wrapping = Wrap(lambda: next(columns), 0, 0)
    text = wrapping.feed("one two six ten one two six ten") + wrapping.flush()
    assert max(map(len, text.split("\n")[1:])) <= 14


@given(ANYTHING, st.integers(0, 30))
def test_a_cut_text_fits(text: str, columns: int) -> None:
    text = visible(text)
    shown = cut(text, columns)
    assert width(shown) <= columns
    if shown != text and columns > 0:
        assert shown.endswith("…")
        assert text.startswith(shown[:-1])


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("random", 6, "random"),
        ("random", 5, "rand…"),
        ("漢字漢字", 8, "漢字漢字"),
        ("漢字漢字", 6, "漢字…"),
        ("漢字漢字", 5, "漢字…"),
        ("漢字", 1, "…"),
        ("random", 0, ""),
        ("random", -3, ""),
        ("", 0, ""),
    ],
)
def test_a_text_that_does_not_fit_ends_in_an_ellipsis(text: str, columns: int, shown: str) -> None:
    assert cut(text, columns) == shown


@given(st.lists(st.tuples(st.integers(0, 9), st.text("ab漢 é", max_size=20))), st.integers(1, 90))
def test_a_status_line_fits(parts: list[tuple[int, str]], columns: int) -> None:
    assert get_cwidth(status_line(parts, columns)) <= columns


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (40, " anon  #random  pirates  12/4096"),
        (32, " anon  #random  12/4096"),
        (20, " anon  #random"),
        (8, " anon"),
        (3, " "),
    ],
)
def test_the_least_important_part_goes_first(columns: int, shown: str) -> None:
    parts = [(0, "anon"), (1, "#random"), (3, "pirates"), (2, "12/4096"), (4, "")]
    assert status_line(parts, columns) == shown


def test_the_two_who_talk_have_different_colours() -> None:
    assert nick_colour(NICKS["model"]) != nick_colour(NICKS["input"])


def test_nicks_use_all_colours() -> None:
    assert {nick_colour(f"nick{number}") for number in range(99)} == set(NICK_COLOURS)
