"""Texts that are put into the input line, and what is typed there meanwhile."""

from __future__ import annotations

from fake import fake_session
from screens import Gate, chatting

from relay_gguf.conversation.session import Session


def lines(session: Session) -> list[str]:
    """What the human said since the scene was opened."""
    return [turn.said.line for turn in session.transcript.turns[1:]]


def test_the_arrows_of_an_empty_line_choose_a_reply() -> None:
    session = fake_session(["one", "two"])
    with chatting(session) as chat:
        chat.type("count\r/retry\r")
        chat.waits_for("<user> two")
        chat.type("\x1b[D")
        chat.waits_for("* user's reply 1/2:")
        chat.type("\x1b[C")
        chat.waits_for("* user's reply 2/2:")
        chat.type("ab\x1b[Dc")
        chat.waits_for("[#random] acb")


def test_an_arrow_without_a_choice_does_nothing() -> None:
    session = fake_session(["one"])
    with chatting(session) as chat:
        chat.type("count\r")
        chat.waits_for("<user> one")
        chat.type("\x1b[D\x1b[Cthen")
        chat.begins("""
            22:13 <anon> count
            22:13 <user> one
            [#random] then
            """)


def test_undo_undoes_twice() -> None:
    session = fake_session(["one", "two"])
    with chatting(session) as chat:
        chat.type("count\rmore\r")
        chat.waits_for("<user> two")
        chat.type("/undo\r")
        chat.waits_for("[#random] more")
        chat.type("/undo\r")
        chat.waits_for("[#random] count")
    assert lines(session) == []


def test_a_draft_that_was_changed_is_typed_text() -> None:
    session = fake_session(["one", "two"])
    with chatting(session) as chat:
        chat.type("this\r")
        chat.waits_for("<user> one")
        chat.type("/undo\r")
        chat.waits_for("[#random] this")
        chat.type(" and/or that\r")
        chat.waits_for("<user> two")
    assert lines(session) == ["this and/or that"]


def test_a_draft_leaves_typed_text_alone() -> None:
    session = fake_session(["I am well"])
    gate = Gate(session, 5)
    with chatting(session, (60, 12)) as chat:
        chat.type("/lazy?\r")
        chat.waits_for("* anon is typing ...")
        chat.type("no")
        chat.waits_for("[#random] no")
        gate.open()
        chat.begins("""
            22:13 * A draft, for the arrow up: I am well
            [#random] no
            """)
        chat.type("\x03")
        chat.begins("""
            22:13 * A draft, for the arrow up: I am well
            [#random]
            """)
        chat.type("\x1b[A")
        chat.waits_for("[#random] I am well")
