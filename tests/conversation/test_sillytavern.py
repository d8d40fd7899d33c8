"""What SillyTavern and KoboldCpp make of our templates: the prompt that the model knows.

The rendering is written anew from their documentation: Handlebars' `{{#if x}}` and `{{x}}`, no
escapes; around each message the sequence and the suffix of who speaks, and at the end the sequence
of who is to speak.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from relay_gguf.cli.app import app
from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.cards.card import Card
from relay_gguf.conversation.cards.sillytavern import koboldcpp_adapter, master_import
from relay_gguf.conversation.messages import NICKS, Message
from relay_gguf.conversation.prompt import render

CARDS = {
    "a whole one": Card("Mia", "She keeps a lighthouse.", "Hates fog.", "A storm is coming."),
    "a name alone": Card("Mia"),
    "no scenario": Card("Dr. Zed", 'A $1 & <b>bold</b> \\1 "doctor".'),
    "only a scenario": Card("海子", scenario="北京, 1989"),
    "macros": Card("Mia", "{{char}} knows {{user}}.", "{{Char}}: calm", "<USER> meets <BOT>"),
}
TALK = [("user", "ahoy"), ("assistant", "who's there?\nsay it"), ("user", "me")]


def story(template: str, fields: dict[str, str]) -> str:
    """A story string, by Handlebars' rules for the two things that ours uses."""

    def when(match: re.Match[str]) -> str:
        return match[2] if fields.get(match[1]) else ""

    open_ = re.sub(r"\{\{#if (\w+)\}\}(.*?)\{\{/if\}\}", when, template, flags=re.DOTALL)
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields.get(match[1], ""), open_)


def sillytavern(settings: dict[str, Any], fields: dict[str, str]) -> str:
    """The prompt of a talk: the story, and each message between its sequences."""
    instruct = settings["instruct"]
    assert not instruct["wrap"], "or line breaks come in between"
    kinds = {"user": "input", "assistant": "output"}
    parts = [story(settings["context"]["story_string"], fields)]
    for role, text in TALK:
        kind = kinds[role]
        parts += [instruct[f"{kind}_sequence"], text, instruct[f"{kind}_suffix"]]
    return "".join([*parts, instruct["output_sequence"]])


def ours(card: Card, persona: str = "") -> str:
    """Our prompt of the same, with the names that SillyTavern has for the two."""
    topic = card.topic(model=card.name, human="Bo")
    lines = [
        *rules.join(NICKS, "model", "sea"),
        *(rules.topic(NICKS, "input", "sea", topic) if topic else ()),
        *rules.cast(NICKS, "input", card.bio(model=card.name, human="Bo")),
        *(rules.cast(NICKS, "model", persona) if persona else ()),
        *(Message({"user": "anon", "assistant": "user"}[role], text) for role, text in TALK),
    ]
    return render(lines, NICKS["model"])


def given_fields(card: Card) -> dict[str, str]:
    """What SillyTavern fills in, its macros replaced before."""

    def filled(text: str) -> str:
        text = re.sub(r"\{\{char\}\}|<BOT>", lambda _: card.name, text, flags=re.IGNORECASE)
        return re.sub(r"\{\{user\}\}|<USER>", "Bo", text, flags=re.IGNORECASE)

    return {
        "char": card.name,
        "user": "Bo",
        "description": filled(card.description),
        "personality": filled(card.personality),
        "scenario": filled(card.scenario),
    }


@pytest.mark.parametrize("persona", ["", "I'm Bo, a sailor."])
@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_sillytavern_renders_our_prompt(card: Card, persona: str) -> None:
    fields = {**given_fields(card), "persona": persona}
    assert sillytavern(master_import("sea"), fields) == ours(card, persona)


WORD = st.text(st.characters(codec="ascii", exclude_characters="{}<>"), max_size=9).map(str.strip)


@given(st.builds(Card, WORD.filter(bool), WORD, WORD, WORD), WORD)
def test_any_card_of_single_lines_does(card: Card, persona: str) -> None:
    plain = [card.name, card.description, card.personality, card.scenario, persona]
    if any(" ".join(text.split()) != text for text in plain):
        return
    assert sillytavern(master_import("sea"), {**given_fields(card), "persona": persona}) == ours(
        card, persona
    )


def test_what_is_found_about_the_world_stands_in_the_bio() -> None:
    fields = {"char": "Mia", "description": "B.", "wiBefore": "A.", "wiAfter": "C."}
    assert "* user's bio: I'm Mia. A. B. C.<|im_end|>\n" in sillytavern(master_import(), fields)


def test_koboldcpp_renders_our_prompt() -> None:
    adapter = koboldcpp_adapter()
    told = [("system", "* Now talking in #sea"), *TALK]
    prompt = "".join(adapter[f"{r}_start"] + text + adapter[f"{r}_end"] for r, text in told)
    nicks = {"system": "system", "user": "anon", "assistant": "user"}
    lines = [Message(nicks[role], text) for role, text in told]
    assert prompt + adapter["assistant_start"] == render(lines, NICKS["model"])


NEEDED = {  # by which SillyTavern knows the parts of a master import
    "instruct": ("name", "input_sequence", "output_sequence"),
    "context": ("name", "story_string"),
    "sysprompt": ("name", "content"),
    "preset": ("temp", "top_k", "top_p", "rep_pen"),
}


def test_the_file_has_the_parts_that_the_import_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "relay.json"
    assert run("sillytavern", str(path), "--channel", "#sea").stdout.startswith("wrote ")
    parts = json.loads(path.read_text("utf-8"))
    assert set(parts) == set(NEEDED)
    assert all(set(NEEDED[part]) <= set(parts[part]) for part in parts)
    assert "#sea" in parts["context"]["story_string"]
    assert parts["preset"]["temp"] == 0.3
    assert json.loads(run("sillytavern").stdout) == master_import()
    assert json.loads(run("koboldcpp").stdout) == koboldcpp_adapter()
    assert "exists: it stays as it is" in str(run("sillytavern", str(path)).exception)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))
