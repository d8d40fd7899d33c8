"""Records as JSON lines: what comes back, what is not one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.conversation.messages import Message
from relay_gguf.conversation.records import decode, from_json, to_json
from relay_gguf.conversation.transcript import (
    Answered,
    Chose,
    Forgot,
    Record,
    Transcript,
    Turned,
    Undone,
)
from relay_gguf.errors import StoreError

MESSAGES = st.builds(
    Message, st.sampled_from(["anon", "user"]), st.text(), st.integers(0, 9), st.booleans()
)


IDS = st.lists(st.integers(0, 1 << 20), max_size=4).map(tuple)


TIMES = st.floats(0, 1e10)


RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        Turned,
        st.text(),
        st.lists(MESSAGES, min_size=1, max_size=3).map(tuple),
        TIMES,
        st.booleans(),
        st.text(),
        st.booleans(),
        st.booleans(),
        IDS,
    ),
    st.builds(
        Answered, st.sampled_from(["reply", "alternative", "continue"]), MESSAGES, IDS, TIMES
    ),
    st.builds(Chose, st.integers(0, 9)),
    st.just(Undone()),
    st.builds(Forgot, IDS),
)


@given(RECORDS)
def test_records_survive_json(record: Record) -> None:
    assert from_json(json.loads(json.dumps(to_json(record), ensure_ascii=False))) == record


def test_transcripts_refuse_records_that_do_not_fit() -> None:
    for record in (Undone(), Chose(0), Answered("reply", Message("user", "x"), (), 0.0)):
        with pytest.raises(ValueError, match=r"no turn|of 0"):
            Transcript().apply(record)


HEADER_LINE = b'{"event": "session", "version": 1, "model": "", "path": "", "vocabulary": ""}\n'


@pytest.mark.parametrize(
    "line",
    [
        b'{"event": "turn", "messages": [], "time": 1}',
        b'{"event": "turn", "messages": [{"nick": "a", "content": 5}], "time": 1}',
        b'{"event": "turn", "messages": [{"nick": "a", "content": "b"}], "time": 1e300}',
        b'{"event": "turn", "messages": [{"nick": "a", "content": "b"}], "time": NaN}',
        b'{"event": "turn", "messages": [{"nick": "a", "content": "b", "tokens": Infinity}], '
        b'"time": 1}',
        b'{"event": "session", "version": 1, "model": "", "path": 5, "vocabulary": ""}',
        b"[" * 200_000,
        b"\xff",
    ],
)
def test_lines_that_are_not_records_are_told(line: bytes) -> None:
    with pytest.raises(StoreError, match="damaged at line 2"):
        decode(HEADER_LINE + line + b"\n", Path("x"))


def test_a_carriage_return_ends_no_line() -> None:
    with pytest.raises(StoreError, match="damaged at line 2"):
        decode(HEADER_LINE + b"garbage\r" + b'more\n{"event": "undo"}\n', Path("x"))
