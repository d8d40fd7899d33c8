"""Replies that did not come to their end: cut, cancelled, failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake import engine_of, fails_at, fake_session, run
from told import context, draft, notices

from relay_gguf.conversation.events import (
    Draft,
    Failed,
    Said,
)
from relay_gguf.conversation.session import Session
from relay_gguf.conversation.wording import cut_mark


def test_a_reply_that_was_cut_goes_on() -> None:
    session = fake_session(["héllo", b"\xa9llo"], max_tokens=2)
    run(session, "hi")
    assert context(session) == ["anon: hi", "user: h\ufffd"]  # cut within a character

    generator = session.dialogue.generator
    generator.params = replace(generator.params, max_tokens=50)
    run(session, "/continue")

    assert context(session) == ["anon: hi", "user: héllo"]
    assert notices(run(session, "/continue")) == ["* There is no reply that was cut."]


def cancel_at(session: Session, number: int) -> None:
    engine_of(session).on_token = lambda count: session.cancel() if count == number else None


def test_a_cancelled_reply_is_kept_and_marked() -> None:
    session = fake_session(["a long reply", "another"])
    cancel_at(session, 7)  # before the seventh of its bytes
    run(session, "hi")
    assert context(session) == ["anon: hi", "user: a long"]
    last = session.transcript.last
    assert last is not None
    assert last.answer is not None
    assert last.answer.cut


def test_a_reply_cancelled_before_its_first_token_is_none() -> None:
    session = fake_session(["never", "said"])
    cancel_at(session, 1)
    assert notices(run(session, "hi")) == ["* No reply; /retry asks again."]
    assert context(session) == ["anon: hi"]
    engine_of(session).on_token = lambda count: None
    run(session, "/retry")
    assert context(session) == ["anon: hi", "user: said"]
    cancel_at(session, 1)
    assert notices(run(session, "/retry"))[-1] == "* The reply stays as it was."
    assert context(session) == ["anon: hi", "user: said"]


def test_a_reply_that_repeats_itself_is_stopped() -> None:
    """The context keeps what was read until then; without the guard nothing is stopped."""
    loop = "I am here. " * 60
    session = fake_session([loop, "something else", loop], max_tokens=1000)
    generator = session.dialogue.generator
    generator.params = replace(generator.params, loop_guard=3)
    *_, said = run(session, "hi")
    assert isinstance(said, Said)
    assert said.reason == "loop"
    assert loop.startswith(said.message.content)
    assert len(said.message.content) < 150
    assert cut_mark(said) == "* cut (it repeats itself); /continue goes on"
    run(session, "and then?")
    assert context(session)[-1] == "user: something else"

    generator.params = replace(generator.params, loop_guard=0)
    run(session, "and now?")
    assert context(session)[-1] == f"user: {loop}"


def test_a_model_that_fails_leaves_what_it_has_written(tmp_path: Path) -> None:
    session = fake_session(["a long reply", "and more", "one too", "what I would say"], tmp_path)
    engine_of(session).on_token = fails_at(7)
    *_, said, failed = run(session, "hi")
    assert isinstance(said, Said)
    assert cut_mark(said) == "* cut (the model failed); /continue goes on"
    assert failed == Failed("no more")
    assert context(session) == ["anon: hi", "user: a long"]
    assert run(session, "/continue")[-1] == Failed("no more")
    assert context(session) == ["anon: hi", "user: a longand mo"]
    assert run(session, "/retry")[-1] == Failed("no more")
    assert context(session) == ["anon: hi", "user: one to"]
    assert run(session, "/lazy")[-2:] == [Draft("what I"), Failed("no more")]
    assert context(session) == ["anon: hi", "user: one to"]
    name = session.dialogue.name
    assert name is not None
    session.close()
    again = fake_session((), tmp_path)
    list(again.resume(name))
    assert context(again) == ["anon: hi", "user: one to"]
    again.close()


def test_a_ctrl_c_that_breaks_through_leaves_what_is_written() -> None:
    session = fake_session(["a long reply"])

    def interrupt(count: int) -> None:
        if count == 7:
            raise KeyboardInterrupt

    engine_of(session).on_token = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(session, "hi")
    assert context(session) == ["anon: hi", "user: a long"]


def test_a_cancelled_lazy_is_a_draft() -> None:
    session = fake_session(["what I would say"])
    cancel_at(session, 5)
    assert draft(run(session, "/lazy")) == "what"
    assert context(session) == []


def test_cancel_without_a_reply_does_nothing() -> None:
    session = fake_session(["fine"])
    session.cancel()
    run(session, "hi")
    assert context(session) == ["anon: hi", "user: fine"]


def test_half_a_character_goes_on_with_its_own_other_half() -> None:
    """Two replies look alike when cut within a character, and are not."""
    session = fake_session([b"a\xc3\xa9", b"a\xc4\x81", b"\x81"], max_tokens=2)
    run(session, "one", "two", "/continue")
    assert context(session)[-1] == "user: a\u0101"
