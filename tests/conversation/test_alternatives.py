"""`/retry`, `/prev` and `/next`: other replies to the same line."""

from __future__ import annotations

import pytest
from fake import engine_of, fake_session, run
from told import context, notices, pieces


def test_retry_keeps_the_replies_before() -> None:
    session = fake_session(["one", "two", "three", "later"])
    run(session, "hi", "/retry", "/retry")
    assert context(session) == ["anon: hi", "user: three"]

    assert notices(run(session, "/prev")) == ["* user's reply 2/3:"]
    assert context(session) == ["anon: hi", "user: two"]
    assert notices(run(session, "/prev", "/prev"))[-1] == "* This is the first (1/3)."
    assert context(session) == ["anon: hi", "user: one"]
    assert notices(run(session, "/next", "/next", "/next"))[-1] == (
        "* This is the newest; /retry makes another (3/3)."
    )
    run(session, "/prev", "go on")
    assert context(session) == ["anon: hi", "user: two", "anon: go on", "user: later"]


@pytest.mark.parametrize("before", [(), ("/topic x",), ("/join #a",), ("hi", "/cast a cat")])
def test_nothing_to_retry_leaves_the_context_alone(before: tuple[str, ...]) -> None:
    session = fake_session()
    run(session, *before)
    kept = context(session)
    assert notices(run(session, "/retry")) == ["* Nothing to retry: the model did not speak last."]
    assert context(session) == kept


def test_retry_draws_until_the_reply_differs() -> None:
    session = fake_session(["one", "one", "two", "one", "two", "one too"])
    events = run(session, "hi", "/retry")
    assert "".join(pieces(events)) == "onetwo", "what was there already is not shown"
    events = run(session, "/retry")
    assert pieces(events) == ["one ", "t", "o", "o"], "held back until it differs"
    last = session.transcript.last
    assert last is not None
    assert [answer.message.content for answer in last.answers] == ["one", "two", "one too"]
    assert {params.temperature for params in engine_of(session).params} == {0.3}


def test_retry_grows_warmer_when_the_model_repeats_itself() -> None:
    session = fake_session(["one", "one", "one", "one", "another"])
    told = notices(run(session, "hi", "/retry"))
    assert told == [
        "* user's reply is replaced (2/2), /prev brings it back:",
        "* The same again; now at temperature 0.6:",
    ]
    assert context(session)[-1] == "user: another"
    drawn = [params.temperature for params in engine_of(session).params]
    assert drawn == [0.3, 0.3, 0.3, 0.3, 0.6]
    assert session.dialogue.generator.params.temperature == 0.3, "only for that reply"


def test_a_model_that_has_nothing_else_to_say_keeps_its_reply() -> None:
    session = fake_session(["one"] * 9)
    events = run(session, "hi", "/retry")
    assert notices(events)[1:] == [
        "* The same again; now at temperature 0.6:",
        "* The same again; now at temperature 1:",
        "* The model said the same 5 times.",
        "* The reply stays as it was.",
    ]
    assert "".join(pieces(events)) == "one"
    last = session.transcript.last
    assert last is not None
    assert len(last.answers) == 1


def test_a_retry_at_temperature_0_says_why_it_repeats_itself() -> None:
    session = fake_session(["one", "one"])
    assert notices(run(session, "/set temperature 0", "hi", "/retry"))[1:] == [
        "* user's reply is replaced (2/2), /prev brings it back:",
        "* At temperature 0 a reply repeats itself; /set temperature 0.7 helps.",
    ]
    assert len(engine_of(session).prompts) == 2


def test_a_retry_that_is_cancelled_draws_no_other() -> None:
    session = fake_session(["one", "one", "never"])
    run(session, "hi")
    engine_of(session).on_token = lambda count: session.cancel() if count == 4 else None
    engine_of(session).replies.appendleft("one and all")
    run(session, "/retry")
    assert context(session)[-1] == "user: one", "cut where it was already there"
    assert len(engine_of(session).prompts) == 2
