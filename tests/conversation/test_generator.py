"""Messages in, events out: a generator holds no context, and several conversations may share it."""

from __future__ import annotations

import pytest
from fake import FakeEngine

from relay_gguf.conversation.events import Event, Piece, Prompted, Said, Trimmed, Typing
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.messages import NICKS, Message, join
from relay_gguf.errors import ContextError
from relay_gguf.sampling import SamplingParams

SCENE = [*join(NICKS, "model", "random"), Message("anon", "hi")]


def make(engine: FakeEngine, *, exact_trim: bool = False, **params: int) -> Generator:
    return Generator(engine, SamplingParams(**{"seed": 1, **params}), exact_trim=exact_trim)


def said(events: list[Event]) -> str:
    (message,) = [event.message for event in events if isinstance(event, Said)]
    return message.content


def turns(n: int) -> list[Message]:
    """A scene with `n` turns of 40 and 40 letters."""
    pairs = [(Message("anon", f"{i:040}"), Message("user", "y" * 40)) for i in range(n)]
    return [*SCENE[:3], *(message for pair in pairs for message in pair), Message("anon", "last")]


def test_the_messages_handed_over_are_the_prompt_and_stay_as_they_are() -> None:
    engine = FakeEngine(["yo"])
    lines = list(SCENE)
    typing, prompted, *pieces, last = make(engine).speak(lines, "model")
    assert typing == Typing("user")
    assert isinstance(prompted, Prompted)
    assert prompted.text == engine.text(engine.prompts[0])
    assert pieces == [Piece("y"), Piece("o")]
    assert last == Said(Message("user", "yo", 2), 2, 2.0, "stop")
    assert lines == SCENE


def test_two_conversations_share_a_generator() -> None:
    engine = FakeEngine(["one", "two", "three"])
    generator = make(engine)
    for text in ("a", "b", "a"):
        list(generator.speak([Message("anon", text)], "model"))
    assert engine.prompts[0] == engine.prompts[2] != engine.prompts[1]


def test_the_human_can_be_written_for_from_a_beginning_on() -> None:
    engine = FakeEngine([" you?"])
    typing, *events = make(engine).speak(SCENE[:3], "input", "how are")
    assert typing == Typing("anon", "how are")
    assert said(events) == "how are you?"
    assert engine.text(engine.prompts[0]).endswith("<|im_start|>anon\nhow are")


@pytest.mark.parametrize("exact_trim", [False, True])
def test_a_trim_is_an_event_that_names_what_the_prompt_left_out(exact_trim: bool) -> None:
    engine = FakeEngine(["ok"], n_ctx=1000)
    lines = turns(12)
    trimmed, *events = make(engine, exact_trim=exact_trim, max_tokens=100).speak(lines, "model")

    assert isinstance(trimmed, Trimmed)
    assert trimmed.indices[0] == 3, "the oldest turn after the join"
    kept = [line for i, line in enumerate(lines) if i not in trimmed.indices]
    generator = make(FakeEngine(n_ctx=1000))
    assert trimmed.tokens == generator.tokens(lines) - generator.tokens(kept)
    assert engine.prompts[0] == generator.encoder.prompt(kept, "user")
    assert bool(engine.forgotten) is not exact_trim
    assert said(events) == "ok"


def test_a_caller_who_does_not_apply_a_trim_gets_it_again() -> None:
    generator = make(FakeEngine(["ok"] * 2, n_ctx=1000), max_tokens=100)
    first, *_ = generator.speak(turns(12), "model")
    second, *_ = generator.speak(turns(12), "model")
    assert isinstance(first, Trimmed)
    assert first == second


def test_room_is_refused_before_anything_is_said() -> None:
    engine = FakeEngine(n_ctx=1000)
    generator = make(engine, max_tokens=100)
    generator.check_room([*turns(30), Message("anon", "x" * 500)], answered=True)  # old turns go
    with pytest.raises(ContextError, match="1008 tokens"):
        generator.check_room([Message("anon", "x" * 1000)], answered=True)
    exact = [Message("anon", "x" * 800)]
    generator.check_room(exact, answered=True)
    with pytest.raises(ContextError):  # no room for a message and its reply after it
        generator.check_room(exact, answered=False)
    assert not engine.prompts


def test_a_seed_gives_each_message_its_own() -> None:
    def seeds(seed: int) -> list[int | None]:
        engine = FakeEngine()
        generator = make(engine, seed=seed)
        for _ in range(3):
            list(generator.speak(SCENE, "model"))
        return [params.seed for params in engine.params]

    assert seeds(1) == seeds(1)
    assert len({*seeds(1), *seeds(2)}) == 6
    assert make(FakeEngine(), seed=7).seed == 7
    drawn = Generator(FakeEngine(), SamplingParams())
    assert drawn.seed != Generator(FakeEngine(), SamplingParams()).seed


def test_nicks_may_be_others() -> None:
    engine = FakeEngine(["aye"])
    generator = make(engine)
    generator.nicks = {"system": "*", "model": "bot", "input": "me"}
    list(generator.speak([Message("me", "hi")], "model"))
    assert engine.text(engine.prompts[0]).endswith("me\nhi<|im_end|>\n<|im_start|>bot\n")


def test_a_cancel_between_two_messages_stops_neither() -> None:
    generator = make(FakeEngine(["one", "two"]))
    assert said(list(generator.speak(SCENE, "model"))) == "one"
    generator.cancel()
    assert said(list(generator.speak(SCENE, "model"))) == "two"


def test_a_cancel_while_someone_begins_to_type_stops_the_message() -> None:
    generator = make(FakeEngine(["never said"]))
    events = []
    for event in generator.speak(SCENE, "model"):
        events.append(event)
        if isinstance(event, Typing):
            generator.cancel()
    assert [type(event) for event in events] == [Typing, Prompted]
