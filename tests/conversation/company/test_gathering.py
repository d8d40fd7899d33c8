"""Several people at one keyboard's conversation, as `chat --with` seats them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake import FakeEngine, fake_session

from relay_gguf import SamplingParams
from relay_gguf.conversation.company.ensemble import Ensemble
from relay_gguf.conversation.company.gathering import Gathering
from relay_gguf.conversation.company.person import read_people
from relay_gguf.conversation.company.voices import Voices
from relay_gguf.conversation.events import Event, Prompted, Said
from relay_gguf.conversation.wording import as_shown

WITH = ("kate: a nurse from Cork", "bob: a pirate: arr")


class Made:
    """Gatherings on a fake engine, with their first scene open; all sessions are in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Gathering] = []

    def __call__(
        self, *people: str, replies: tuple[str, ...] = (), resume: str = "", **options: Any
    ) -> tuple[Gathering, FakeEngine]:
        engine = FakeEngine(replies)
        ensemble = Ensemble(
            Voices(engine, SamplingParams(seed=1), human="anon"),
            self.folder,
            seats_saved=True,
            drops_cancelled=False,
            now=lambda: 1_700_000_000.0,
            **options,
        )
        session = Gathering(ensemble, reads_cards=True)
        self.made.append(session)
        done(session.resume(resume) if resume else session.start())
        done(session.seat(read_people(people)))
        return session, engine


@pytest.fixture
def gather(tmp_path: Path) -> Iterator[Made]:
    made = Made(tmp_path)
    yield made
    for session in made.made:
        session.close()


def done(events: Iterator[Event]) -> list[Event]:
    return list(events)


def speakers(session: Gathering, line: str) -> list[str]:
    said = (event for event in session.submit(line) if isinstance(event, Said) and event.reason)
    return [event.message.nick for event in said]


def prompts(engine: FakeEngine) -> str:
    return "".join(map(engine.text, engine.prompts))


LINES = ["hi", "/cast kate: a nurse", "/retry", "/slap", "/dance", "/lazy", "/undo", "/topic sea"]


def test_alone_it_is_a_session_like_any_other() -> None:
    """Event by event, prompt by prompt: nothing changes for who seats nobody."""
    replies = [f"reply {n}" for n in range(9)]
    plain = fake_session(replies)
    engine = FakeEngine(replies)
    voices = Voices(engine, SamplingParams(seed=1), human="anon")
    session = Gathering(Ensemble(voices, seats_saved=True, now=lambda: 1_700_000_000.0))
    done(session.start())
    for line in [*LINES, "/join pub", "hello", "/reset", "/continue", "/context"]:
        assert done(session.submit(line)) == done(plain.submit(line))
    other = plain.dialogue.generator.engine
    assert isinstance(other, FakeEngine)
    assert (engine.prompts, engine.params) == (other.prompts, other.params)


def test_who_is_spoken_to_answers(gather: Made) -> None:
    """And each reads its own bio alone, in Relay's roles; /cast is user's, to the letter."""
    session, engine = gather(*WITH, chatter=0)
    done(session.submit("/cast kate: that is my name"))
    assert speakers(session, "bob: how is the sea?") == ["bob"]
    assert "* user's bio: I'm bob, a pirate: arr" in prompts(engine)
    assert speakers(session, "hello everybody") == ["user", "kate", "bob"]
    assert speakers(session, "whose turn is it?") == ["user"]
    assert "* user's bio: kate: that is my name" in engine.text(engine.prompts[-1])
    assert "nurse" not in engine.text(engine.prompts[-1])
    for nick in ("kate", "bob"):
        assert f"<|im_start|>{nick}" not in prompts(engine)
    assert "anon: hello everybody" in engine.text(engine.prompts[-1])


def test_they_go_on_within_the_line_but_not_for_ever(gather: Made) -> None:
    session, _ = gather(*WITH, willing=1.0, chatter=3)
    assert speakers(session, "kate: hi") == ["kate", "bob", "user", "kate"]
    assert speakers(session, "/slap bob")[0] == "bob"


def test_the_next_line_ends_what_they_say_to_each_other(gather: Made) -> None:
    session, _ = gather(*WITH, willing=1.0, chatter=20)
    said = []
    for event in session.submit("kate: hi"):
        if isinstance(event, Said) and event.reason:
            said.append(event.message.nick)
            if len(said) == 3:
                session.hush()
    assert said == ["kate", "bob", "user"]


def test_what_was_shown_when_it_was_stopped_stays(gather: Made) -> None:
    session, engine = gather(*WITH, replies=("hi", "and a very long story"), willing=1.0)

    def stop(count: int) -> None:
        if count == 6:
            session.cancel()

    engine.on_token = stop
    events = [e for e in session.submit("kate: hi") if isinstance(e, Said) and e.reason]
    assert [(e.message.nick, e.message.content) for e in events] == [
        ("kate", "hi"),
        ("bob", "and a"),
    ]
    assert session.transcript.context[-1].content == "and a"


def test_a_new_scene_knows_them_too(gather: Made) -> None:
    session, engine = gather(*WITH)
    for line in ("/join pub", "/reset"):
        events = done(session.submit(line))
        notices = [e.message.content for e in events if isinstance(e, Said) and not e.reason]
        assert "* kate's bio: I'm kate, a nurse from Cork" in notices
        shown = [as_shown(e.message, line) for e in events if isinstance(e, Said)]
        assert [text for one in shown if one for nick, text in [one] if nick] in ([line], [])
    assert speakers(session, "kate: are you here?")[0] == "kate"
    assert "a nurse from Cork" in prompts(engine)


def test_a_session_that_goes_on_has_its_people(gather: Made) -> None:
    session, _ = gather(*WITH)
    done(session.submit("kate: hi"))
    done(session.submit("/save talk"))
    session.close()

    again, engine = gather("joe: a baker", resume="talk", chatter=0)
    assert again.ensemble.members == ("user", "kate", "bob", "joe")
    assert speakers(again, "kate: and now?") == ["kate"]
    assert speakers(again, "joe: bread?") == ["joe"]
    assert "<|im_start|>kate" not in prompts(engine)
    again.close()

    other, engine = gather(chatter=0)
    done(other.submit("alone"))
    done(other.submit("/load talk"))
    assert other.ensemble.members == ("user", "kate", "bob", "joe")
    assert speakers(other, "bob: ahoy") == ["bob"]


def test_each_prompt_tells_whose_it_is(gather: Made) -> None:
    session, _ = gather(*WITH, chatter=0)
    events = done(session.submit("kate: hi"))
    assert [event.nick for event in events if isinstance(event, Prompted)] == ["kate"]
