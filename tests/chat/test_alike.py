"""A terminal and a pipe show the same messages, each in its own form."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

import pytest
from fake import fake_session

from relay_gguf.chat.painter import Painter
from relay_gguf.chat.plain import run_plain
from relay_gguf.conversation.events import Event, Replayed
from relay_gguf.conversation.session import Session


def piped(session: Session, opening: Iterable[Event], typed: str) -> list[str]:
    """What a pipe gets."""
    out = io.StringIO()
    run_plain(session, opening, io.StringIO(typed), out, as_json=False)
    return unwrapped(out.getvalue())


def painted(session: Session, opening: Iterable[Event], typed: str) -> list[str]:
    """What a wide terminal shows, without the times."""
    rows: list[str] = []
    painter = Painter(
        rows.append,
        lambda: 200,
        colour=False,
        prompts=False,
        now=lambda: 0.0,
        clock=lambda: 0.0,
    )
    for event in opening:
        painter.show(event)
    painter.end()
    for line in typed.splitlines():
        painter.begin(line)
        for event in session.submit(line):
            painter.show(event)
        painter.end()
    return unwrapped(re.sub(r"(?m)^\d\d:\d\d ", "", "".join(rows)))


def unwrapped(text: str) -> list[str]:
    """Lines without the spaces at their ends, which are nothing on a screen."""
    return [line.rstrip() for line in text.splitlines()]


TALKS = {
    "an action": (["aww"], "/me sighs", ["* anon sighs", "<user> aww"]),
    "no action": (["hm"], "/me", ["<anon> /me", "* anon used /me", "<user> hm"]),
    "a model that acts, chosen again": (
        ["/me waves", "Aye."],
        "hi\n/retry\n/prev",
        [
            "<anon> hi",
            "<user> /me waves",
            "* user's reply is replaced (2/2), /prev brings it back:",
            "<user> Aye.",
            "* user's reply 1/2:",
            "<user> /me waves",
        ],
    ),
    "a model that is silent, chosen again": (
        ["", "Aye."],
        "hi\n/retry\n/prev",
        [
            "<anon> hi",
            "<user>",
            "* user's reply is replaced (2/2), /prev brings it back:",
            "<user> Aye.",
            "* user's reply 1/2:",
            "<user>",
        ],
    ),
    "a human's line by the model": (
        ["/me nods", "Well?"],
        "/lazy",
        ["<anon> /me nods", "<user> Well?"],
    ),
    "silence": (["Well?"], "", ["<anon> ...", "<user> Well?"]),
    "a slash of one's own": (["Aye."], "//me", ["<anon> /me", "<user> Aye."]),
    "another line": (
        ["one", "two"],
        "hi\n/edit ho",
        ["<anon> hi", "<user> one", "<anon> /edit ho", "<user> two"],
    ),
}


@pytest.mark.parametrize(("replies", "typed", "shown"), TALKS.values(), ids=TALKS)
def test_both_show_a_message_alike(replies: list[str], typed: str, shown: list[str]) -> None:
    for show in (piped, painted):
        assert show(fake_session(replies), (), f"{typed}\n") == shown


def test_both_show_old_messages_alike() -> None:
    session = fake_session(["/me waves", "hm"])
    for line in ("/me sighs", "/me", "//me"):
        list(session.submit(line))
    old = [Replayed(tuple(session.transcript.dated))]
    for show in (piped, painted):
        assert show(fake_session(), old, "") == [
            "* Now talking in #random",
            "* anon has joined #random",
            "* anon sighs",
            "<user> /me waves",
            "<anon> /me",
            "* anon used /me",
            "<user> hm",
            "<anon> /me",
            "<user> ok",
        ]


def test_both_put_nothing_into_the_mouth_of_who_typed_nothing() -> None:
    for show in (piped, painted):
        session = fake_session()
        assert show(session, session.start("pirates", "a sailor"), "") == [
            "* Now talking in #random",
            "* anon has joined #random",
            "* Topic for #random is: pirates",
            "* user's bio: a sailor",
        ]
