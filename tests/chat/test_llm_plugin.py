"""Relay in simonw's llm: lines in, replies out, conversations made again from what llm keeps.

Most are against a stand-in for the few names of llm that the plugin takes; the last, run with
`-m llm`, is in llm itself, which the `demo` extra brings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fake import FakeEngine

from relay_gguf.sampling import SamplingParams

NAME = "relay_gguf.chat.llm_plugin"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The plugin, on what it takes of llm."""
    stub: Any = ModuleType("llm")
    stub.hookimpl = lambda function: function
    stub.Model = type("Model", (), {})
    stub.Options = type("Options", (), {})
    stub.ModelError = type("ModelError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "llm", stub)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    yield import_module(NAME)
    sys.modules.pop(NAME, None)


def options(**given: Any) -> Any:
    names = [field.name for field in fields(SamplingParams)]
    return SimpleNamespace(**(dict.fromkeys(names) | given))


class Talk:
    """A conversation as llm has it: all that was typed and answered, handed over each time."""

    def __init__(self, model: Any, system: str = "") -> None:
        self.model, self.lines = model, [("system", system)] if system else []
        self.usage: list[Any] = []

    def say(self, line: str, **given: Any) -> str:
        self.lines.append(("user", line))
        parts = [(role, [SimpleNamespace(text=text)]) for role, text in self.lines]
        messages = [SimpleNamespace(role=role, parts=part) for role, part in parts]
        prompt = SimpleNamespace(prompt=line, messages=messages, options=options(**given))
        response = SimpleNamespace(set_usage=lambda **usage: self.usage.append(usage))
        answer = "".join(self.model.execute(prompt, True, response, None))
        self.lines.append(("assistant", answer))
        return answer


def model(plugin: Any, *replies: str) -> tuple[Any, FakeEngine]:
    relay = plugin.Relay("relay")
    relay._engine = engine = FakeEngine(replies)
    return relay, engine


LINES = ["/join #sea", "/cast I'm Mia", "hi", "/retry", "/dance", "/slap", "//x", "/undo"]


def test_lines_and_commands_are_those_of_a_chat(plugin: Any) -> None:
    relay, _ = model(plugin, "hey", "ho", "dances", "ouch", "what")
    talk = Talk(relay)
    assert [talk.say(line) for line in LINES] == [
        "* Now talking in #sea\n* user has joined #sea",
        "* user's bio: I'm Mia",
        "hey",
        "ho",
        "dances",
        "ouch",
        "what",
        "* Took back: //x",
    ]
    assert [usage["details"]["cached"] > 0 for usage in talk.usage] == [False, *[True] * 4]


def test_a_conversation_goes_on_in_another_process(plugin: Any) -> None:
    relay, engine = model(plugin, "hey", "ho", "dances", "ouch", "what", "aye")
    talk = Talk(relay, "I'm a cook")
    for line in LINES:
        talk.say(line)
    again, other = model(plugin, "aye")
    talk.model = again
    assert talk.say("so?") == "aye"
    prompt = other.text(other.prompts[-1])
    assert "bio: I'm Mia" in prompt
    assert "user\nho<|im_end|>" in prompt
    talk.lines = talk.lines[:-2]
    talk.model = relay
    talk.say("so?")
    assert engine.text(engine.prompts[-1]) == prompt


def test_two_conversations_do_not_mix(plugin: Any) -> None:
    relay, engine = model(plugin, "one", "two", "three")
    first, second = Talk(relay), Talk(relay, "I'm  a\ncook")
    first.say("hi")
    second.say("hello")
    first.say("and?")
    assert "hello" not in engine.text(engine.prompts[-1])
    assert "user\none<|im_end|>" in engine.text(engine.prompts[-1])
    assert "bio: I'm a cook" in engine.text(engine.prompts[1])


def test_what_does_nothing_here_is_told_and_done_in_no_replay(
    plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relay, _ = model(plugin, "hey")
    talk = Talk(relay)
    talk.say("hi")
    assert talk.say("/export") == "/export does nothing in llm: llm logs shows the conversation."
    talk.model, _ = model(plugin, "aye")
    assert talk.say("so?") == "aye"
    assert not list(tmp_path.iterdir())


def test_options_count_for_each_reply(plugin: Any) -> None:
    relay, engine = model(plugin, "a", "b")
    talk = Talk(relay)
    talk.say("hi", temperature=0.9, seed=5)
    talk.say("and?", max_tokens=9)
    assert [(p.temperature, p.max_tokens) for p in engine.params] == [(0.9, 128), (0.3, 9)]
    with pytest.raises(sys.modules["llm"].ModelError, match=r"top_p is 7; it must be 0 to 1"):
        talk.say("x", top_p=7)


def test_an_older_llm_hands_over_its_responses(plugin: Any) -> None:
    def made(prompt: str, text: str) -> Any:
        return SimpleNamespace(
            prompt=SimpleNamespace(prompt=prompt, system="I'm a cook"), text=lambda: text
        )

    prompt = SimpleNamespace(prompt="x", system=None)
    before = SimpleNamespace(responses=[made("hi", "hey"), made("/undo", "* Took back: hi")])
    told = [("hi", "hey"), ("/undo", "* Took back: hi")]
    assert plugin.history(prompt, before) == ("I'm a cook", told)
    assert plugin.history(prompt, None) == ("", [])


def test_a_model_that_is_not_here_is_not_downloaded(
    plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_MODEL", "owner/name:Q8_0")
    with pytest.raises(
        sys.modules["llm"].ModelError, match="`relay-gguf download owner/name:Q8_0`"
    ):
        Talk(plugin.Relay("relay")).say("hi")


@pytest.mark.llm
def test_three_turns_in_llm_itself(tmp_path: Path) -> None:
    llm: Any = pytest.importorskip("llm", reason="llm is not installed: pip install llm")
    from llm.cli import load_conversation
    from sqlite_utils import Database

    plugin = import_module(NAME)
    relay, engine = model(plugin, "hey", "ho", "hm")
    register = llm.plugins.pm.register
    register(SimpleNamespace(register_models=llm.hookimpl(lambda register: register(relay))))
    talk = relay.conversation()
    texts = [talk.prompt(line) for line in ("/join #sea", "hi")]
    assert [text.text() for text in texts] == [
        "* Now talking in #sea\n* user has joined #sea",
        "hey",
    ]
    database = Database(tmp_path / "logs.db")
    llm.cli.migrate(database)
    for text in texts:
        text.log_to_db(database)
    found: Any = load_conversation(talk.id, database=str(tmp_path / "logs.db"))
    assert found is not None
    found.model, other = model(plugin, "aye")
    assert found.prompt("so?", seed=1).text() == "aye"
    assert talk.prompt("so?").text() == "ho"
    assert other.text(other.prompts[-1]) == engine.text(engine.prompts[-1])
