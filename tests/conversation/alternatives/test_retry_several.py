"""`/retry 4`: several replies at once, and one of them chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake import engine_of, fails_at, fake_session, run
from told import context, notices

from relay_gguf.conversation.events import Alternative, Offered, Said
from relay_gguf.conversation.session import Session


def answers(session: Session) -> list[str]:
    last = session.transcript.last
    assert last is not None
    return [answer.message.content for answer in last.answers]


def test_several_are_kept_beside_the_one_that_stands() -> None:
    session = fake_session(["one", "two", "two", "three", "later"])
    events = run(session, "hi", "/retry 2")
    assert [
        (event.row, event.number)
        for event in events
        if isinstance(event, Alternative) and isinstance(event.event, Said)
    ] == [(0, 2), (1, 3)]
    assert events[-1] == Offered(standing=1, count=3)
    assert answers(session) == ["one", "two", "three"]
    assert context(session)[-1] == "user: one"

    assert notices(run(session, "/next 3")) == ["* user's reply 3/3:"]
    assert context(session)[-1] == "user: three"
    assert notices(run(session, "/prev")) == ["* user's reply 2/3:"]
    run(session, "go on")
    assert context(session)[-3:] == ["user: two", "anon: go on", "user: later"]


def test_the_first_of_several_stands_where_none_did() -> None:
    session = fake_session(["one", "two"])
    list(session.hear("hi"))
    assert run(session, "/retry 2")[-1] == Offered(standing=1, count=2)
    assert context(session)[-1] == "user: one"


def test_a_session_that_goes_on_has_them_all(tmp_path: Path) -> None:
    session = fake_session(["one", "two", "three"], tmp_path)
    run(session, "hi", "/retry 2", "/next 2")
    name, before = session.dialogue.name, session.transcript
    session.close()
    again = fake_session((), tmp_path)
    list(again.resume(name or ""))
    assert again.transcript == before
    assert notices(run(again, "/next")) == ["* user's reply 3/3:"]
    again.close()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/retry 0", "* /retry takes a number of replies, 1 to 16: /retry 4."),
        ("/retry 17", "* /retry takes a number of replies, 1 to 16: /retry 4."),
        ("/retry all", "* /retry takes a number of replies, 1 to 16: /retry 4."),
        ("/next 5", "* There are the replies 1 to 1: /next 1."),
        ("/prev x", "* There are the replies 1 to 1: /next 1."),
    ],
)
def test_numbers_that_mean_nothing(line: str, told: str) -> None:
    session = fake_session(["one"])
    assert notices(run(session, "hi", line)) == [told]
    assert answers(session) == ["one"]


def test_a_single_one_replaces_as_ever() -> None:
    session = fake_session(["one", "two"])
    assert notices(run(session, "hi", "/retry 1"))[0].startswith("* user's reply is replaced")
    assert context(session)[-1] == "user: two"


def test_at_temperature_0_it_says_why_not() -> None:
    session = fake_session(["one"])
    assert notices(run(session, "/set temperature 0", "hi", "/retry 3"))[-1] == (
        "* At temperature 0 all replies are the same: /set temperature 0.7 helps."
    )


def test_what_is_stopped_is_not_kept() -> None:
    session = fake_session(["one", "two", "never whole"])
    run(session, "hi")

    def stop(count: int) -> None:
        if len(engine_of(session).prompts) == 3:
            session.cancel()

    engine_of(session).on_token = stop
    assert run(session, "/retry 3")[-1] == Offered(standing=1, count=2)
    assert answers(session) == ["one", "two"]


def test_a_model_that_fails_leaves_what_was_whole() -> None:
    session = fake_session(["one", "two", "broken"])
    run(session, "hi", "/retry 2")
    engine_of(session).on_token = fails_at(1)
    assert "no more" in str(run(session, "/retry 2")[-1])
    assert answers(session) == ["one", "two", "broken"]
    assert context(session)[-1] == "user: one"
