"""A context that is full: what leaves it, and what is refused."""

from __future__ import annotations

import pytest
from fake import engine_of, fake_session, run
from told import context, draft

from relay_gguf.conversation.events import (
    Draft,
    Failed,
    Prompted,
    Said,
    Trimmed,
)


def test_old_turns_go_and_the_pinned_ones_stay() -> None:
    session = fake_session(["x" * 40] * 30, n_ctx=1000, max_tokens=100)
    run(session, "/topic the sea", "/cast I am old", "/topic the deep sea")
    trimmed = []
    for number in range(20):
        events = run(session, f"message number {number}")
        trimmed += [event for event in events if isinstance(event, Trimmed)]
        engine = engine_of(session)
        assert len(engine.prompts[-1]) + 100 <= 1000
    assert len(trimmed) >= 2
    assert engine_of(session).forgotten, "the cache is moved"
    assert context(session)[:4] == [
        "anon: /whois user",
        "system: * user's bio: I am old",
        "anon: /topic the deep sea",
        "system: * Topic for #random is: the deep sea",
    ]
    everything = [m.content for turn in session.transcript.scene for m in turn.messages]
    assert "message number 0" in everything


def test_after_a_trim_only_new_tokens_are_read() -> None:
    session = fake_session(["y" * 30] * 60, n_ctx=1000, max_tokens=100)
    read = [
        event.evaluated
        for number in range(50)
        for event in run(session, f"message {number:02}")
        if isinstance(event, Prompted)
    ]
    assert max(read[1:]) == min(read[1:])


@pytest.mark.parametrize("command", ["", "/topic ", "/cast ", "/dance "])
def test_what_cannot_fit_is_refused_and_returned(command: str) -> None:
    session = fake_session(n_ctx=1000, max_tokens=100)
    run(session, "hi")
    kept = context(session)
    line = command + "a" * 900

    *_, failed, returned = run(session, line)

    assert isinstance(failed, Failed)
    assert "tokens" in failed.text
    assert any(word.isdigit() and int(word) > 900 for word in failed.text.split())
    assert returned == Draft(line)
    assert context(session) == kept
    run(session, "hi again")
    assert context(session)[-1] == "user: ok"


def test_an_edit_that_cannot_fit_changes_nothing() -> None:
    session = fake_session(n_ctx=1000, max_tokens=100)
    run(session, "hi", "/edit " + "a" * 900)
    assert context(session) == ["anon: hi", "user: ok"]


def test_what_is_taken_can_be_answered() -> None:
    """At every length: either refused at once, or answered. BOS and the frame count too."""
    for length in range(770, 900):
        session = fake_session(n_ctx=1024, max_tokens=128)
        *_, last = run(session, "a" * length)
        assert isinstance(last, Said) or context(session) == []


def test_what_lazy_wrote_is_returned_if_it_does_not_fit() -> None:
    session = fake_session(["b" * 250], n_ctx=470, max_tokens=250)
    events = run(session, "/lazy")
    assert isinstance(events[-2], Failed)
    assert draft(events) == "b" * 250
