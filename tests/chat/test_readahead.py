"""The line is read at each pause in typing."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from fake import fake_session
from screens import chatting, until

from relay_gguf.chat.readahead import PAUSE, ReadAhead, on_battery


class Clock:
    """Calls what is due when the test says that time passes."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> SimpleNamespace:
        entry = (seconds, call)
        self.due.append(entry)
        return SimpleNamespace(cancel=lambda: self.due.remove(entry))

    def passes(self, seconds: float) -> None:
        for entry in [entry for entry in self.due if entry[0] <= seconds]:
            self.due.remove(entry)
            entry[1]()


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["h", "he", "hello", "hello "], []),
        (["hello ", PAUSE], ["hello "]),
        (["hello ", PAUSE, "hello t", "hello th", PAUSE], ["hello "]),
        (["hello ", PAUSE, "hello there ", PAUSE], ["hello ", "hello there "]),
        (["hello there ", PAUSE, "hello ", PAUSE], ["hello there ", "hello "]),
        (["hello ", PAUSE / 2, "hello th", PAUSE], ["hello "]),
        (["two\nlines", PAUSE], ["two\n"]),
        (["hello ", None, PAUSE], []),
        (["hello ", PAUSE, None, "hello ", PAUSE], ["hello ", "hello "]),
    ],
    ids=[
        *("no pause", "a pause", "the same words", "more words", "fewer words", "a short pause"),
        *("a line break", "entered", "a second line"),
    ],
)
def test_whole_words_are_read_at_a_pause(typed: list[str | float | None], read: list[str]) -> None:
    clock, found = Clock(), []

    def prepare(line: str) -> bool:
        found.append(line)
        return True

    ahead = ReadAhead(prepare, clock.later)
    for what in typed:
        match what:
            case str():
                ahead.typed(what)
            case None:
                ahead.entered()
            case _:
                clock.passes(what)
    assert found == read


def test_what_could_not_be_read_is_tried_again() -> None:
    clock, answers = Clock(), [False, True]
    ahead = ReadAhead(lambda _: answers.pop(0), clock.later)
    for line in ("hello ", "hello th", "hello the"):
        ahead.typed(line)
        clock.passes(PAUSE)
    assert answers == []
    assert clock.due == []


@pytest.mark.parametrize(
    ("battery", "is_on"),
    [
        (None, False),
        (SimpleNamespace(power_plugged=True), False),
        (SimpleNamespace(power_plugged=None), False),
        (SimpleNamespace(power_plugged=False), True),
    ],
)
def test_a_battery_is_saved(
    battery: object, *, is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.sensors_battery", lambda: battery, raising=False)
    assert on_battery() is is_on
    monkeypatch.delattr("psutil.sensors_battery")
    assert on_battery() is False


def test_the_input_line_is_read_and_once_more_after_a_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session, found = fake_session(["a reply"]), []

    def prepare(line: str) -> bool:
        found.append(line)
        return True

    monkeypatch.setattr(session, "prepare", prepare)
    with chatting(session, reads_ahead=True) as chat:
        chat.type("hello th")
        until(lambda: found == ["hello "])
        chat.type("ere\rand now ")
        chat.waits_for("<user> a reply")
        until(lambda: found == ["hello ", "and now "])
        chat.type("\r/quit\r")
        chat.ends()


def test_nothing_is_read_where_nobody_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    session, found = fake_session(["a reply"]), []
    monkeypatch.setattr(session, "prepare", found.append)
    with chatting(session) as chat:
        chat.type("hello there \r")
        chat.waits_for("<user> a reply")
        chat.type("/quit\r")
        chat.ends()
    assert found == []
