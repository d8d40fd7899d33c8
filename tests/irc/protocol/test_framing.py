"""Framing: bytes become lines, and lines become their parts or an error."""

from __future__ import annotations

import pytest
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

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"))


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
