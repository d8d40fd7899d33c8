"""Several people in one conversation: who answers, what is kept, and when they stop."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake import FakeEngine, fails_at

from relay_gguf import SamplingParams
from relay_gguf.conversation.company.ensemble import Ensemble
from relay_gguf.conversation.company.person import Person
from relay_gguf.conversation.company.voices import Voices
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Draft, Event, Failed, Notice, Said, Trimmed, Typing
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session

MakePeople = Callable[..., tuple[Session, Ensemble, FakeEngine]]
BIOS = {"kate": "a nurse", "bob": "a pirate", "joe": "a baker"}


@pytest.fixture
def make_people(tmp_path: Path) -> Iterator[MakePeople]:
    """`make_people("reply", …, members=["kate", "bob"], willing=1)`, with their bios read."""
    made: list[Ensemble] = []

    def make(
        *replies: str, members: tuple[str, ...] = ("kate", "bob"), **options: Any
    ) -> tuple[Session, Ensemble, FakeEngine]:
        engine = FakeEngine(replies, n_ctx=options.pop("n_ctx", 1 << 20))
        params = SamplingParams(seed=1, max_tokens=options.pop("max_tokens", 128))
        seat, folder = options.pop("seat", None), options.pop("folder", tmp_path)
        voices = Voices(engine, params, seat=seat, human="anon")
        ensemble = Ensemble(voices, folder, members=members, **options)
        made.append(ensemble)
        session = Session(ensemble)
        events(session.start())
        for nick in members:
            if nick in BIOS:
                events(session.perform(ensemble.introduce(Person(nick, BIOS[nick]))))
        return session, ensemble, engine

    yield make
    for ensemble in made:
        ensemble.close()


def events(found: Iterator[Event]) -> list[Event]:
    return list(found)


def told(found: Iterator[Event]) -> list[tuple[str, str]]:
    """Who said what, of generated messages."""
    said = (event.message for event in found if isinstance(event, Said) and event.reason)
    return [(message.nick, message.content) for message in said]


def chat(session: Session, ensemble: Ensemble) -> list[tuple[str, str]]:
    """What the people go on to say to each other."""
    found = []
    while ensemble.goes_on:
        found += told(session.perform(ensemble.more()))
    return found


def asked(engine: FakeEngine) -> str:
    """The last prompt's lines after the bio."""
    return engine.text(engine.prompts[-1]).partition("'s bio: ")[2].replace("<|im_end|>\n", "")


def test_each_reads_the_channel_as_relays_user(make_people: MakePeople) -> None:
    session, _, engine = make_people("hi", "arr", chatter=0)
    assert told(session.submit("hello")) == [("kate", "hi")]
    assert told(session.submit("bob: hello")) == [("bob", "arr")]
    assert asked(engine) == (
        "I'm bob, a pirate<|im_start|>anon\nanon: hello<|im_start|>anon\nkate: hi"
        "<|im_start|>anon\nanon: hello<|im_start|>user\n"
    )
    assert engine.text(engine.prompts[0]).count("'s bio: ") == 1


@pytest.mark.parametrize(
    ("line", "who"),
    [
        ("hello", ["kate"]),
        ("bob: hello", ["bob"]),
        ("I like bob and kate", ["bob", "kate"]),
        ("hi everybody", ["kate", "bob"]),
        ("/hug bob", ["bob"]),
    ],
)
def test_who_is_spoken_to_answers(make_people: MakePeople, line: str, who: list[str]) -> None:
    session, _, _ = make_people(chatter=0)
    assert [nick for nick, _ in told(session.submit(line))] == who


def test_else_they_answer_in_turn(make_people: MakePeople) -> None:
    session, _, _ = make_people(members=("kate", "bob", "joe"), chatter=0)
    found = [told(session.submit("well?"))[0][0] for _ in range(5)]
    assert found == ["kate", "bob", "joe", "kate", "bob"]


def test_they_talk_to_each_other_until_their_lines_are_used_up(make_people: MakePeople) -> None:
    session, ensemble, _ = make_people(*["bob? kate?"] * 50, chatter=3)
    assert told(session.submit("hello")) == [("kate", "bob? kate?")]
    assert [nick for nick, _ in chat(session, ensemble)] == ["bob", "kate", "bob"]
    assert not ensemble.goes_on, "only a human's word lets them go on"
    assert told(session.perform(ensemble.more())) == []
    session, ensemble, _ = make_people(*["bob? kate?"] * 50, chatter=0)
    assert len(told(session.submit("hello"))) == 1
    assert not ensemble.goes_on


def test_whatever_they_say_nobody_runs_away(make_people: MakePeople) -> None:
    """60 lines of a human: at most one answer and `chatter` lines each, nobody after himself."""
    said = ["well", "kate!", "bob, you?", "everybody!", "kate and bob and joe", "joe: no"]
    session, ensemble, _ = make_people(
        *said * 60, members=("kate", "bob", "joe"), willing=0.7, folder=None
    )
    spoke: Counter[str] = Counter()
    for number in range(60):
        lines = told(session.submit(f"line {number}")) + chat(session, ensemble)
        nicks = [nick for nick, _ in lines]
        assert 1 <= len(nicks) <= 3
        assert all(first != second for first, second in pairwise(nicks))
        spoke.update(nicks)
    assert min(spoke.values()) > 25, spoke


def test_unwilling_people_speak_only_when_named(make_people: MakePeople) -> None:
    session, ensemble, _ = make_people("hm", "bob?", "yes", willing=0)
    session.submit("hello")
    assert told(session.submit("kate: hello")) == [("kate", "hm")]
    assert chat(session, ensemble) == []
    assert told(session.submit("kate: hello")) == [("kate", "bob?")]
    assert chat(session, ensemble) == [("bob", "yes")]


def test_chatter_that_is_cancelled_is_not_said(make_people: MakePeople) -> None:
    session, ensemble, engine = make_people("bob?", "never heard", chatter=2)
    events(session.submit("hello"))
    before = ensemble.transcript
    engine.on_token = lambda count: session.cancel()
    assert told(session.perform(ensemble.more())) == []
    assert ensemble.transcript == before


def test_a_human_has_the_word(make_people: MakePeople) -> None:
    session, ensemble, engine = make_people("bob?", "x")
    events(session.submit("hello"))
    assert ensemble.goes_on
    ensemble.hush()
    assert not ensemble.goes_on
    assert told(session.perform(ensemble.more())) == []
    assert len(engine.prompts) == 1


def test_an_answer_can_be_drawn_again_chosen_and_continued(make_people: MakePeople) -> None:
    session, _, engine = make_people("one", "two", "three", "lo", "ng", chatter=0, max_tokens=5)
    events(session.submit("all: hello"))  # kate: one, bob: two
    found = events(session.submit("/retry"))
    assert Notice("* bob's reply is replaced (2/2), /prev brings it back:") in found
    assert told(iter(found)) == [("bob", "three")]
    assert asked(engine).endswith("kate: one<|im_start|>user\n")
    back = events(session.submit("/prev"))
    assert [e.message.content for e in back if isinstance(e, Said)] == ["two"]
    engine.on_token = fails_at(2)
    assert any(isinstance(event, Failed) for event in session.submit("bob: go on"))
    engine.on_token = lambda count: None
    assert told(session.submit("/continue")) == [("bob", "lng")]


def test_undo_takes_back_a_line_with_all_that_followed(make_people: MakePeople) -> None:
    session, ensemble, _ = make_people("a", "bob?", "kate?", "b", chatter=2)
    events(session.submit("kate: first"))
    ensemble.hush()
    before = ensemble.transcript
    events(session.submit("kate: second"))
    assert len(chat(session, ensemble)) == 2
    assert Draft("kate: second") in events(session.submit("/undo"))
    assert ensemble.transcript == before
    events(session.submit("everyone: third"))
    assert Draft("/edit everyone: third") in events(session.submit("/edit"))
    assert told(session.submit("/edit bob: fourth"))[0][0] == "bob"
    assert "third" not in str(ensemble.transcript)


def test_a_session_goes_on_with_all_that_they_said(make_people: MakePeople, tmp_path: Path) -> None:
    session, ensemble, _ = make_people("bob?", "kate?", "well", chatter=2)
    events(session.submit("hello"))
    chat(session, ensemble)
    name, transcript = ensemble.name, ensemble.transcript
    ensemble.close()
    assert name is not None
    again, other, _ = make_people("yes")
    events(again.resume(name))
    assert other.transcript == transcript
    found = events(again.submit("/retry"))
    assert [nick for nick, _ in told(iter(found))] == ["kate"], "who spoke last"
    assert [nick for nick, _ in told(again.submit("and?"))] == ["bob"], "kate spoke last"


def test_what_draws_beside_them_speaks_as_the_speaker(make_people: MakePeople) -> None:
    session, ensemble, engine = make_people("hi", "arr", "avast", chatter=0)
    events(session.submit("bob: hello"))
    before = engine.prompts[-1]
    other = ensemble.voices.beside(engine)
    found = list(other.speak(ensemble.transcript.context[:-1], "model"))
    assert told(iter(found)) == [("bob", "arr")]
    assert engine.prompts[-1] == before


def test_a_full_context_keeps_the_join_and_each_ones_own_bio(make_people: MakePeople) -> None:
    session, ensemble, engine = make_people(*["word " * 12] * 40, n_ctx=900, chatter=2, willing=1)
    found: list[Event] = []
    for number in range(8):
        found += events(session.submit(f"{number} " * 10))
        while ensemble.goes_on:
            found += events(session.perform(ensemble.more()))
    assert any(isinstance(event, Trimmed) for event in found)
    assert not any(isinstance(event, Failed) for event in found)
    for prompt in map(engine.text, engine.prompts):
        assert prompt.count("'s bio: ") == prompt.count("Now talking in") == 1
    text = str(ensemble.transcript.context)
    assert "kate's bio" in text
    assert "bob's bio" in text


@pytest.mark.parametrize("when", [Said, Typing])
def test_with_seats_a_cancel_is_never_too_early(
    make_people: MakePeople, when: type[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anybody was asked; and when one voice has begun, and the other has not."""
    kate, bob = FakeEngine(["never whole"]), FakeEngine(["nor this"])
    left, cancelled = iter([kate, bob]), threading.Event()
    kate.on_token = lambda count: None if cancelled.wait(9) else pytest.fail("nobody cancels")
    session, ensemble, _ = make_people(seat=lambda: next(left), chatter=0)
    speak_as = ensemble.voices.speak_as

    def late(nick: str, *rest: Any) -> Iterator[Event]:
        if nick == "bob":
            cancelled.wait(9)
        yield from speak_as(nick, *rest)

    monkeypatch.setattr(ensemble.voices, "speak_as", late)
    found: list[Event] = []
    for event in session.submit("all: hello"):
        found.append(event)
        if isinstance(event, when):
            session.cancel()
            cancelled.set()
    assert told(iter(found)) == []
    assert ("* No reply; /retry asks again." in str(found)) == (when is Said)


def test_with_seats_they_answer_at_the_same_time(make_people: MakePeople) -> None:
    """Each waits in its first token until the other has begun: else this would never end."""
    both = threading.Barrier(2, timeout=10)

    def meet(count: int) -> None:
        if count == 1:
            both.wait()

    seats = [FakeEngine(["from kate"]), FakeEngine(["from bob"])]
    for seat in seats:
        seat.on_token = meet
    left = iter(seats)
    session, ensemble, _ = make_people(seat=lambda: next(left), chatter=0)
    found = events(session.submit("all: hello"))
    assert sorted(told(iter(found))) == [("bob", "from bob"), ("kate", "from kate")]
    assert {e.nick for e in found if isinstance(e, Typing)} == {"kate", "bob"}
    assert [turn.answer is not None for turn in ensemble.transcript.turns[-2:]] == [True, True]


def test_an_error_of_one_leaves_what_the_other_said(make_people: MakePeople) -> None:
    seats = [FakeEngine(["from kate"]), FakeEngine(["from bob"])]
    seats[0].on_token = fails_at(1)
    left = iter(seats)
    session, ensemble, _ = make_people(seat=lambda: next(left), chatter=0)
    found = events(session.submit("all: hello"))
    assert told(iter(found)) == [("bob", "from bob")]
    assert isinstance(found[-1], Failed)
    assert ensemble.transcript.context[-1].nick == "bob"


def test_the_model_by_itself_is_a_dialogue_as_any(make_people: MakePeople) -> None:
    session, ensemble, engine = make_people("a", "b", members=("user",))
    plain = Session(Dialogue(Generator(FakeEngine(["a", "b"]), SamplingParams(seed=1))))
    for each in (session, plain):
        if each is plain:
            events(each.start())
        for line in ("user: hi", "/cast a pirate", "anon: user: hi"):
            events(each.submit(line))
    assert engine.params == plain.dialogue.generator.engine.params  # type: ignore[attr-defined]
    assert engine.prompts == plain.dialogue.generator.engine.prompts  # type: ignore[attr-defined]
    assert not ensemble.goes_on
