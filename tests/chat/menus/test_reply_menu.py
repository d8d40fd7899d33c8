"""The menu of replies that `/retry 4` draws, on whole screens."""

from __future__ import annotations

import pytest
from fake import fake_session
from screens import SMALL, WIDE, Gate, chatting

from relay_gguf.conversation.session import Session


def standing(session: Session) -> str:
    last = session.transcript.last
    assert last is not None
    assert last.answer is not None
    return last.answer.content


def test_replies_to_choose_from() -> None:
    session = fake_session(["Ahoy.", "Aye.", "Well?", "Never mind that, I have seen the sea."])
    with chatting(session, SMALL) as chat:
        chat.type("hello\r/retry 3\r")
        chat.shows("""
            22:13 <anon> hello
            22:13 <user> Ahoy.
            [#random] /retry 3
              1 Ahoy.
            > 2 Aye.
              3 Well?
              4 Never mind that, I have seen the s…




             Enter or a digit takes  Esc keeps 1
            """)
        chat.type("\x1b[B\x1b[C")
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> Ahoy.
            [#random] /retry 3
              1 Ahoy.
              2 Aye.
              3 Well?
            > 4 Never mind that, I have seen the
                sea.
            """)
        chat.type("\x1b[A\r")
        chat.shows("""
            22:13 <anon> hello
            22:13 <user> Ahoy.
            22:13 * user's reply 3/4:
            22:13 <user> Well?
            [#random]






             anon  #random  117/1048576  2.5 t/s
            """)
    assert standing(session) == "Well?"


def test_a_digit_takes_a_reply_and_the_others_stay_reachable() -> None:
    session = fake_session(["Ahoy.", "Aye.", "Well?"])
    with chatting(session, WIDE) as chat:
        chat.type("hello\r/retry 2\r")
        chat.waits_for("3 replies")
        chat.type("93")
        chat.waits_for("* user's reply 3/3:")
        chat.type("/prev\r")
        chat.waits_for("* user's reply 2/3:")
    assert standing(session) == "Aye."


@pytest.mark.parametrize("key", ["\x1b", "\x03", "\x04", "1"], ids=["Esc", "C-c", "C-d", "1"])
def test_the_old_one_is_kept(key: str) -> None:
    session = fake_session(["Ahoy.", "Aye.", "Well?", "And so."])
    with chatting(session, WIDE) as chat:
        chat.type("hello\r/retry 2\r")
        chat.waits_for("3 replies")
        chat.type(key)
        chat.waits_for("* Reply 1/3 stands; /next NUMBER takes another.")
        chat.type("go on\r")
        chat.waits_for("<user> And so.")
    assert session.transcript.turns[-2].answer == session.transcript.turns[-2].answers[0].message


def test_replies_are_shown_while_they_are_written_and_esc_stops_them() -> None:
    session = fake_session(["Oh Ahoy.", "Aye.", "Well now?"])
    gate = Gate(session, 4)
    with chatting(session, WIDE) as chat:
        chat.type("hello\r")
        chat.waits_for("<user> Oh")
        gate.open()
        chat.waits_for("<user> Oh Ahoy.")
        chat.type("/retry 3\r")
        chat.waits_for("> 2 Aye ...")
        gate.open()
        chat.begins("""
            22:13 <anon> hello
            22:13 <user> Oh Ahoy.
            [#random] /retry 3
              1 Oh Ahoy.
            > 2 Aye.
              3 Wel ...
            """)
        chat.type("\x1b")
        gate.open_when_cancelled()
        chat.waits_for("* Reply 1/2 stands; /next NUMBER takes another.")
    assert standing(session) == "Oh Ahoy."


def test_one_that_is_being_written_is_taken_when_it_is_whole() -> None:
    session = fake_session(["Oh Ahoy.", "Well now?", "never written"])
    gate = Gate(session, 4)
    with chatting(session, WIDE) as chat:
        chat.type("hello\r")
        chat.waits_for("<user> Oh")
        gate.open()
        chat.type("/retry 2\r")
        chat.waits_for("> 2 Wel ...")
        chat.type("\r")
        chat.waits_for("waiting for its end")
        gate.open()
        chat.waits_for("* user's reply 2/2:")
    assert standing(session) == "Well now?"


def test_where_none_stood_the_first_stands_and_is_told() -> None:
    session = fake_session(["Aye.", "Well?"])
    list(session.hear("hello"))
    with chatting(session, WIDE) as chat:
        chat.type("/retry 2\r")
        chat.waits_for("2 replies")
        chat.type("\x1b")
        chat.waits_for("<user> Aye.")
    assert standing(session) == "Aye."


def test_a_stop_before_anything_was_written_leaves_the_menu() -> None:
    session = fake_session(["Ahoy.", "Aye."])
    gate = Gate(session, 1)
    with chatting(session, WIDE) as chat:
        chat.type("hello\r")
        gate.open()
        chat.waits_for("<user> Ahoy.")
        chat.type("/retry 2\r")
        chat.waits_for("being written")
        chat.type("\x1b")
        gate.open_when_cancelled()
        chat.waits_for("* The reply stays as it was.")
        chat.waits_for("[#random]")
