"""What users read of an event, in every front end."""

from __future__ import annotations

import pytest

from relay_gguf.conversation.events import Said, Trimmed
from relay_gguf.conversation.messages import NICKS, Message, join
from relay_gguf.conversation.wording import by_program, cut_mark, emote, reading_note, trim_notice
from relay_gguf.engine import FinishReason


@pytest.mark.parametrize(
    ("is_cut", "reason", "mark"),
    [
        (False, "stop", ""),
        (True, "length", "* cut (at --max-tokens); /continue goes on"),
        (True, "context", "* cut (the context is full); /continue goes on"),
        (True, "cancelled", "* cut (stopped); /continue goes on"),
    ],
)
def test_a_cut_reply_is_marked_with_its_reason(
    is_cut: bool, reason: FinishReason, mark: str
) -> None:
    assert cut_mark(Said(Message("user", "hi", 2, is_cut), 2, 1.0, reason)) == mark


def test_a_trim_is_told_in_messages_and_tokens() -> None:
    assert trim_notice(Trimmed((3, 4), 120)) == (
        "The context is full: the 2 oldest messages (120 tokens) left it. The session keeps them."
    )


def test_the_programs_own_join_is_not_taken_for_a_reply() -> None:
    typed, told, _ = join(NICKS, "model", "random")
    assert by_program(typed)
    assert not by_program(told)
    assert not by_program(Message(NICKS["input"], typed.content))
    assert not by_program(Message(NICKS["model"], typed.content, generated=9))


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("* anon used /me sighs", "* anon sighs"),
        ("* user used /me waves back", "* user waves back"),
        ("* anon used /me ", ""),
        ("* anon used /dance wildly", ""),
        ("* anon used /menace", ""),
    ],
)
def test_an_action_is_read_as_irc_shows_it(content: str, shown: str) -> None:
    assert emote(Message(NICKS["system"], content)) == shown


@pytest.mark.parametrize(
    ("seconds", "since", "note"),
    [
        (0.0, 0.0, "read 512 of 2048 tokens"),
        (4.0, 0.0, "read 512 of 2048 tokens, 12 s left"),
        (4.0, 3.0, "read 512 of 2048 tokens, 9 s left"),
        (4.0, 99.0, "read 512 of 2048 tokens, 1 s left"),
        (60.0, 0.0, "read 512 of 2048 tokens, 3 min left"),
    ],
)
def test_reading_tells_the_time_left(seconds: float, since: float, note: str) -> None:
    assert reading_note(512, 2048, seconds, since) == note
