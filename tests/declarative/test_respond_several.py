"""`respond(n=4)` and `retry(n=4)`: several texts to choose from, the first of which stands."""

from __future__ import annotations

import pytest
from fake import FakeEngine, fails_at

from relay_gguf import RelayLM
from relay_gguf.errors import CommandError, EngineError


def scene(*replies: str, **params: float) -> RelayLM:
    relay = RelayLM(engine=FakeEngine(replies), seed=1, **params)
    relay.message("input", "hi")
    return relay


def said(relay: RelayLM) -> list[str]:
    return [entry["content"] for entry in relay.context[1:]]


def test_the_first_stands_until_another_is_chosen() -> None:
    relay = scene("one", "two", "two", "three", "later")
    texts = relay.respond(n=3)
    assert texts == ["one", "two", "three"]
    assert said(relay) == ["one"]
    relay.choose(texts[2])
    relay.message("input", "go on")
    assert relay.respond() == "later"
    assert said(relay) == ["three", "go on", "later"]


def test_retries_are_unlike_all_before() -> None:
    relay = scene("one", "two", "two", "one", "three", "four", "two", "three", "five")
    assert relay.respond(n=2) == ["one", "two"]
    assert relay.retry(n=2) == ["three", "four"]
    assert said(relay) == ["three"]
    assert relay.retry() == "five"
    assert said(relay) == ["five"]


def test_at_temperature_0_there_is_one() -> None:
    relay = scene("one", "one", temperature=0.0)
    assert relay.respond(n=4) == ["one"]
    assert said(relay) == ["one"]


def test_a_model_that_fails_leaves_the_first_that_was_whole() -> None:
    relay = scene("one", "broken")
    engine = relay.engine
    assert isinstance(engine, FakeEngine)
    engine.on_token = lambda count: fails_at(1)(count) if len(engine.prompts) == 2 else None
    with pytest.raises(EngineError, match="no more"):
        relay.respond(n=2)
    assert said(relay) == ["one"]


def test_what_cannot_be_done_is_refused() -> None:
    relay = RelayLM(engine=FakeEngine())
    with pytest.raises(CommandError, match="nobody has spoken"):
        relay.choose("hm")
    relay.message("input", "hi")
    with pytest.raises(CommandError, match="did not speak last"):
        relay.retry(n=2)
