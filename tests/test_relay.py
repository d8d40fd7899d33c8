"""The original's declarative API, under its own names."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake import FakeEngine, fails_at
from hub_server import Handler, serving
from pico import write_pico

from relay_gguf import Message, RelayLM, SamplingParams, suggest_relay_model
from relay_gguf.conversation.events import Said
from relay_gguf.errors import CommandError, ContextError, EngineError
from relay_gguf.fit.catalogue import catalogue
from relay_gguf.models.demo import made_demo


@pytest.fixture
def published(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[Handler]]:
    """A hub that has Relay's files, all of them a small model."""
    files = {file.file: pico.read_bytes() for file in catalogue()}
    with serving({catalogue()[0].repo: files}, monkeypatch, str(tmp_path / "hf")) as hub:
        yield hub


def test_the_readme_example_of_the_original(published: type[Handler]) -> None:
    def favorite_holiday(relay: RelayLM, country: str) -> str:
        relay.init_context()
        relay.join(role="model", channel=country.lower())
        relay.cast(role="model", desc=f"I'm from {country}.")
        relay.message(role="input", content="What's your favorite holiday?")
        relay.respond(role="model")
        response = relay.get_last()
        return response["content"]

    model_info = suggest_relay_model(min_speed=0)
    relay = RelayLM(**model_info, max_tokens=12)
    try:
        for country in ("Portugal", "China"):
            answer = favorite_holiday(relay, country)
            assert answer
            assert relay.context == [
                {"role": "user", "content": f"/join #{country.lower()}"},
                {"role": "system", "content": f"* Now talking in #{country.lower()}"},
                {"role": "system", "content": "* anon has joined #" + country.lower()},
                {"role": "user", "content": "/whois anon"},
                {"role": "system", "content": f"* anon's bio: I'm from {country}."},
                {"role": "anon", "content": "What's your favorite holiday?"},
                {"role": "user", "content": answer},
            ]
    finally:
        relay.close()
    assert len(published.asked) == 1, "one download"
    assert suggest_relay_model(min_speed=0) == model_info


def test_every_word_of_the_api() -> None:
    relay = RelayLM(engine=FakeEngine(["hello", "ouch", "again"]))
    assert relay.nicks == {"system": "system", "model": "user", "input": "anon"}
    assert relay.get_last() == {}
    assert relay.channel == "random"

    relay.join("input", "boston")
    assert relay.channel == "boston"
    relay.topic("input", "tea")
    relay.slap("model")
    relay.wildcard("input", "/dance", "wildly")
    pieces: list[str] = []
    assert relay.respond("model", pieces.append) == "hello"
    assert "".join(pieces) == "hello"
    assert relay.retry("model") == "ouch"
    relay.message("system", "* the lights go out")
    assert relay.respond("input") == "again"

    assert [entry["content"] for entry in relay.context[3:]] == [
        "/topic tea",
        "* Topic for #boston is: tea",
        "/slap anon",
        "* user slaps anon around a bit with a large trout",
        "/dance wildly",
        "* anon used /dance wildly",
        "ouch",
        "* the lights go out",
        "again",
    ]
    relay.reset()
    assert relay.get_last()["content"] == "* anon has joined #random"


def test_the_context_is_the_callers_to_change() -> None:
    engine = FakeEngine(["one", "two"])
    relay = RelayLM(engine=engine)
    relay.context = [{"role": "anon", "content": "hi"}]
    relay.respond()
    relay.context[0]["content"] = "bye"
    relay.context.append({"role": "anon", "content": "more"})
    relay.respond()
    assert engine.text(engine.prompts[1]) == (
        "<s><|im_start|>anon\nbye<|im_end|>\n<|im_start|>user\none<|im_end|>\n"
        "<|im_start|>anon\nmore<|im_end|>\n<|im_start|>user\n"
    )


def test_refusals_leave_the_context_alone() -> None:
    relay = RelayLM(engine=FakeEngine(n_ctx=300))
    relay.message("input", "hi")
    before = list(relay.context)
    for refused in (
        lambda: relay.join("input", ""),
        lambda: relay.topic("input", ""),
        lambda: relay.cast("input", ""),
        lambda: relay.retry("model"),
    ):
        with pytest.raises(CommandError):
            refused()
        assert relay.context == before
    relay.message("input", "x" * 400)
    with pytest.raises(ContextError, match="408 tokens"):
        relay.respond()
    assert len(relay.context) == 2


def test_retry_that_fails_keeps_the_reply() -> None:
    relay = RelayLM(engine=FakeEngine(["one"]))
    relay.message("input", "hi")
    relay.respond()

    def boom(text: str) -> None:
        raise RuntimeError(text)

    with pytest.raises(RuntimeError):
        relay.retry(on_text=boom)
    assert relay.get_last() == {"role": "user", "content": "one"}


def test_retry_that_is_cancelled_keeps_the_reply() -> None:
    engine = FakeEngine(["one", "two"])
    relay = RelayLM(engine=engine)
    relay.message("input", "hi")
    relay.respond()
    context = relay.context
    engine.on_token = lambda count: relay.cancel()
    assert relay.retry() == ""
    assert relay.get_last() == {"role": "user", "content": "one"}
    assert relay.context is context, "whoever holds the list still sees it"


def test_a_model_that_fails_leaves_what_it_has_written() -> None:
    engine = FakeEngine(["one", "another"])
    relay = RelayLM(engine=engine)
    engine.on_token = fails_at(3)
    with pytest.raises(EngineError, match="no more"):
        relay.respond()
    assert relay.context == [{"role": "user", "content": "on"}]
    with pytest.raises(EngineError, match="no more"):
        relay.retry()
    assert relay.context == [{"role": "user", "content": "an"}], "as a Ctrl-C would leave it"
    engine.on_token = fails_at(1)
    with pytest.raises(EngineError, match="no more"):
        relay.retry()
    assert relay.context == [{"role": "user", "content": "an"}]


def test_retry_gives_nothing_that_was_there_already() -> None:
    relay = RelayLM(engine=FakeEngine(["one", "one", "two", "two", "one", "six", "one"]))
    relay.message("input", "hi")
    relay.respond()
    pieces: list[str] = []
    assert [relay.retry(on_text=pieces.append), relay.retry()] == ["two", "six"]
    assert "".join(pieces) == "two", "what was there already is not shown"
    relay.message("input", "hi")
    assert relay.respond() == "one"
    assert relay.retry() == "ok"
    relay.params = SamplingParams(temperature=0)
    assert relay.retry() == "ok", "at temperature 0 it takes what comes"


def test_a_cancel_that_comes_too_late_stops_nothing() -> None:
    relay = RelayLM(engine=FakeEngine(["one", "two"]))
    for event in relay.speak("model"):
        if isinstance(event, Said):
            relay.cancel()
    assert relay.respond() == "two"


def test_nicks_parameters_and_trimming_may_be_changed() -> None:
    engine = FakeEngine(["hello"])
    relay = RelayLM(engine=engine)
    relay.nicks = {"system": "*", "model": "bot", "input": "me"}
    relay.nicks["input"] = "you"
    relay.params = SamplingParams(max_tokens=3)
    relay.exact_trim = True
    relay.message("input", "hi")
    assert relay.respond() == "hel"
    assert relay.context == [
        {"role": "you", "content": "hi"},
        {"role": "bot", "content": "hel"},
    ]
    assert (relay.params.max_tokens, relay.exact_trim, relay.reserve) == (3, True, 3)


def test_a_full_context_loses_its_oldest_messages() -> None:
    relay = RelayLM(engine=FakeEngine(["x" * 40] * 30, n_ctx=700), max_tokens=60)
    relay.join("model", "random")
    context = relay.context
    for number in range(20):
        relay.message("input", f"message number {number}")
        relay.respond()
    assert relay.context is context, "whoever holds the list still sees it"
    assert [entry["content"] for entry in context[:3]] == [
        "/join #random",
        "* Now talking in #random",
        "* anon has joined #random",
    ]
    assert "message number 0" not in [entry["content"] for entry in context]
    lines = [Message(entry["role"], entry["content"]) for entry in context]
    assert sum(relay.sizes(lines)) < 700
    with pytest.raises(ContextError):
        relay.check_room([Message("anon", "x" * 600)], fresh=False, answered=True)
    relay.check_room([Message("anon", "x" * 600)], fresh=True, answered=True)


def test_export_never_overwrites(tmp_path: Path) -> None:
    relay = RelayLM(engine=FakeEngine())
    relay.message("input", "é")
    first, second = relay.export(tmp_path / "log.jsonl"), relay.export(tmp_path / "log.jsonl")
    assert (first.name, second.name) == ("log.jsonl", "log-2.jsonl")
    assert json.loads(first.read_text("utf-8")) == {"role": "anon", "content": "é", "model": "fake"}
    assert relay.context == [{"role": "anon", "content": "é"}], "export adds nothing to it"
    assert relay.export(tmp_path).parent == tmp_path


def test_options_reach_the_engine(smollm2: Path, tmp_path: Path) -> None:
    path = write_pico(tmp_path / "p.gguf", smollm2)
    relay = RelayLM(path, 0.7, top_k=5, seed=9, n_ctx=300)
    assert (relay.params.temperature, relay.params.top_k, relay.seed) == (0.7, 5, 9)
    assert relay.engine.n_ctx == 512
    relay.close()
    with pytest.raises(TypeError, match="model file or an engine"):
        RelayLM()


def test_the_demo_opens_a_scene(demo: Path) -> None:
    relay = RelayLM.demo(max_tokens=8, n_threads=1, seed=1)
    try:
        assert relay.engine.name == demo.stem
        assert relay.channel == "lisbon"
        assert relay.get_last()["content"].startswith("* user's bio: I'm Rosa.")
        relay.message("input", "what's your cat called?")
        assert "miso" in relay.respond().lower()
    finally:
        relay.close()


def test_a_demo_that_cannot_be_made_is_plain_smollm2(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: ran.append(command))
    with pytest.warns(RuntimeWarning, match="plain SmolLM2"):
        assert made_demo() == smollm2
    assert ran[0][1:] == ["-m", "relay_gguf", "demo"], "the command line makes it"


def test_leaving_a_with_block_closes_the_model(pico: Path) -> None:
    with RelayLM(pico, n_threads=1, max_tokens=2) as relay:
        relay.message("input", "hi")
        relay.respond()
    with pytest.raises(EngineError, match="closed"):
        relay.respond()


def test_a_model_that_is_dropped_is_freed(pico: Path) -> None:
    relay = RelayLM(pico, n_threads=1, max_tokens=2)
    relay.message("input", "hi")
    relay.respond()
    engine = weakref.ref(relay.engine)
    relay = RelayLM(engine=FakeEngine())  # the cell of a notebook, run again
    gc.collect()
    assert engine() is None
    relay.close()
