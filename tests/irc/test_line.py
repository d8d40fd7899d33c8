"""Lines: read, written, cut; bytes become lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.irc.protocol.framing import (
    EmptyLineError,
    Framer,
    NotTextError,
    TooLongError,
    is_foreign,
    read,
    without_tags,
)
from relay_gguf.irc.protocol.line import Line, cut, cut_bytes, encode, format_line, parse
from relay_gguf.irc.protocol.names import (
    clean,
    clean_user,
    fold,
    full_mask,
    matches,
    valid_channel,
    valid_nick,
)
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


@pytest.mark.parametrize("case", cases("mask-match.yaml"), ids=lambda case: case["mask"])
def test_masks_match_as_the_parser_tests_say(case: dict[str, Any]) -> None:
    assert [text for text in case["matches"] if not matches(case["mask"], text)] == []
    assert [text for text in case["fails"] if matches(case["mask"], text)] == []


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


# Splitting

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


# Bytes


@given(st.lists(TEXT.filter(bool), max_size=8), st.integers(1, 9), st.sampled_from(["\r\n", "\n"]))
def test_lines_come_out_however_the_bytes_come_in(lines: list[str], step: int, end: str) -> None:
    data = "".join(line + end for line in lines).encode()
    framer = Framer()
    got = [raw for n in range(0, len(data), step) for raw in framer.feed(data[n : n + step])]
    assert got == [line.encode() for line in lines]
    assert framer.beginning == b""


def test_a_line_without_end_is_not_kept() -> None:
    framer = Framer()
    for _ in range(1000):
        assert list(framer.feed(b"x" * 1000)) == []
        assert len(framer.beginning) < 5000
    assert list(framer.feed(b"x\r\nPING x\r\n")) == [None, b"PING x"]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"x" * 511, TooLongError),
        (b"@" + b"t" * 4095 + b" PING x", TooLongError),
        (b"PRIVMSG #c :\xff", NotTextError),
        (b"\xff\xfe", NotTextError),
        (b":only", EmptyLineError),
        (b"  ", EmptyLineError),
    ],
)
def test_lines_that_cannot_be_read_are_errors(raw: bytes, error: type[ValueError]) -> None:
    with pytest.raises(error):
        read(raw)


def test_lines_at_their_limits_can_be_read() -> None:
    assert len(read(b"X " + b"y" * 508).params[0]) == 508
    assert read(b"@" + b"t" * 4094 + b" PING " + b"y" * 505).verb == "PING"
    assert read(b"PRIV\0MSG #c :a\0b").params == ("#c", "ab")


def test_a_raw_line_is_as_it_was_sent_but_for_its_tags() -> None:
    assert without_tags(b"@a=b DANCE  wildly :in moonlight") == ("DANCE  wildly :in moonlight")


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1", b"POST /x", b"PRI * HTTP/2.0", b"Host: localhost", b"\x16\x03\x01"]
)
def test_browsers_and_tls_are_foreign(raw: bytes) -> None:
    assert is_foreign(raw)


@pytest.mark.parametrize(
    "raw", [b"NICK get", b"PASS POST", b"CAP LS 302", b"", b"GE", b"PRIVMSG x"]
)
def test_irc_is_not_foreign(raw: bytes) -> None:
    assert not is_foreign(raw)


# Names


@pytest.mark.parametrize(
    "nick", ["anon", "a", "user2", "[x]", "{}|`_^\\", "jürgen", "漢字", "a-b", "x" * 30]
)
def test_nicks_that_are_allowed(nick: str) -> None:
    assert valid_nick(nick, 30)


@pytest.mark.parametrize(
    "nick",
    [
        *("", "1st", "-x", "a b", "a,b", "a!b", "a@b", "#a", "a*", "a?", ":a", "&a", "a.b", "$a"),
        *("~a", "+a", "a\x02b", "a\u202eb", "a\u200b", "x" * 31, "漢" * 11),
    ],
)
def test_nicks_that_are_not_allowed(nick: str) -> None:
    assert not valid_nick(nick, 30)


@pytest.mark.parametrize("name", ["#a", "##a", "#a.b:c!", "#漢字", "#" + "x" * 63])
def test_channels_that_are_allowed(name: str) -> None:
    assert valid_channel(name, 64)


@pytest.mark.parametrize("name", ["", "a", "#", "&a", "#a b", "#a,b", "#a\x07", "#" + "x" * 64])
def test_channels_that_are_not_allowed(name: str) -> None:
    assert not valid_channel(name, 64)


def test_folding_is_for_ascii_alone() -> None:
    assert fold("ANÖN[]\\") == "anÖn[]\\"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("a\tb", "a b"),
        ("\x02bold\x02 \x0304red\x0f", "\x02bold\x02 \x0304red\x0f"),
        ("a\x01b\x00c\x1b[31m\x7f\x85\u2028", "abc[31m"),
    ],
)
def test_control_characters_are_left_out_and_formatting_stays(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_a_topic_is_cut_between_characters() -> None:
    assert clean("漢字漢字", 11) == "漢字漢"


def test_a_user_name_keeps_what_a_mask_allows() -> None:
    assert clean_user("a b!c@d\x02", 20) == "abcd"
    assert clean_user("!@", 20) == "user"
    assert clean_user("x" * 50, 20) == "x" * 20


@pytest.mark.parametrize(
    ("mask", "full"),
    [
        ("nick", "nick!*@*"),
        ("nick!user", "nick!user@*"),
        ("user@host", "*!user@host"),
        ("n!u@h", "n!u@h"),
        ("", "*!*@*"),
    ],
)
def test_masks_get_all_their_parts(mask: str, full: str) -> None:
    assert full_mask(mask) == full


def test_no_mask_takes_long() -> None:
    assert not matches("*a" * 200 + "b", "a" * 400)
    assert matches("*a" * 200 + "*", "a" * 400)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_masks_match_what_patterns_match(mask: str, text: str) -> None:
    regex = "".join({"*": ".*", "?": "."}.get(c, c) for c in mask)
    assert matches(mask, text) == bool(re.fullmatch(regex, text))
