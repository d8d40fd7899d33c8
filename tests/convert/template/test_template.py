"""The chat template: the golden prompts in every engine, BOS, and the template as a text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes
from template_cases import CASES, MALFORMED, MODEL, jinja, prompt, say
from template_engines import (
    Context,
    Engine,
    huggingface,
    llama_server,
    no_huggingface,
    no_llama_server,
    sandboxed,
)

from relay_gguf.convert.template import relay_template, template_kind

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "chat_template_cases.json").read_text("utf-8")
)
Checked = dict[str, tuple[Context, str]]
ALL: Checked = CASES | {
    f"golden {index}": (
        {
            **say(**case["vars"]),
            "messages": case["messages"],
            "add_generation_prompt": case["add_generation_prompt"],
        },
        case["expected"],
    )
    for index, case in enumerate(GOLDEN)
}


def unlike(engine: Engine, cases: Checked, bos: str = "<s>") -> dict[str, tuple[str, str]]:
    """The cases that an engine renders otherwise: what it makes of them, and what is expected."""
    rendered = engine(relay_template(), [context for context, _ in cases.values()])
    expected = [bos + text.removeprefix("<s>") for _, text in cases.values()]
    return {
        name: (is_, ought)
        for name, is_, ought in zip(cases, rendered, expected, strict=True)
        if is_ != ought
    }


def test_there_are_golden_cases() -> None:
    assert len(GOLDEN) == 339


@pytest.mark.parametrize("trim", [False, True])
def test_the_template_writes_the_golden_prompts_in_python(trim: bool) -> None:
    assert unlike(sandboxed(trim=trim), ALL) == {}


def test_the_template_writes_the_golden_prompts_in_lm_studio() -> None:
    if reason := no_huggingface():
        pytest.skip(reason)
    malformed = {
        name: (context, prompt(line, MODEL)) for name, (context, line) in MALFORMED.items()
    }
    assert unlike(huggingface, ALL | malformed) == {}


@pytest.mark.thorough
def test_the_template_writes_the_golden_prompts_in_llama_server(smollm2: Path) -> None:
    if reason := no_llama_server():
        pytest.skip(reason)
    assert unlike(llama_server(smollm2), ALL, bos="") == {}  # BOS begins the first turn


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_histories_do_no_harm(name: str) -> None:
    context, line = MALFORMED[name]
    assert jinja(relay_template(), [context]) == [prompt(line, MODEL)]


# BOS


@pytest.mark.parametrize(
    ("given", "printed"),
    [("<s>", "<s>"), ("<|begin|>", "<|begin|>"), ("<|im_start|>", ""), ("", ""), (None, "")],
)
def test_a_prompt_begins_with_bos_once(given: str | None, printed: str) -> None:
    (text,) = jinja(relay_template(), [say(("user", "hi"), bos_token=given)])
    assert text == prompt("anon: hi", MODEL).replace("<s>", printed)


def test_the_template_needs_no_variables() -> None:
    (text,) = jinja(relay_template(), [{"messages": [{"role": "user", "content": "hi"}]}])
    assert text == prompt("anon: hi").removeprefix("<s>") + "<|im_end|>\n"


def test_a_model_without_bos_gets_none() -> None:
    (text,) = jinja(relay_template(bos=False), [say(("user", "hi"))])
    assert text == prompt("anon: hi", MODEL).removeprefix("<s>")


# The template as a text


def test_it_uses_only_what_every_engine_knows() -> None:
    tree = jinja2.Environment().parse(relay_template())
    found = {type(node) for node in tree.find_all(nodes.Node)}
    assert not found & {nodes.Filter, nodes.Macro, nodes.Slice, nodes.Concat, nodes.CallBlock}
    calls = [node.node for node in tree.find_all(nodes.Call)]
    names = {call.attr if isinstance(call, nodes.Getattr) else "" for call in calls}
    assert names == {"", "split", "strip"}  # and the one of namespace()
    assert {node.name for node in tree.find_all(nodes.Test)} == {"string", "iterable", "defined"}


def test_hugging_face_does_not_take_it_for_chatml() -> None:
    words = set(re.findall(r"<[|_A-Za-z0-9]+>", relay_template()))
    assert words == {"<|im_start|>", "<|im_end|>", "<anon>", "<user>", "<system>"}
    assert "<|im_start|>assistant" not in relay_template()  # nor KoboldCpp


SMOLLM2 = "{% for message in messages %}{{'<|im_start|>' + message['role'] + ...}}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        (relay_template(), "relay"),
        (relay_template(bos=False), "relay"),
        (relay_template().replace("version 1", "version 27"), "relay"),
        (SMOLLM2, "chatml"),
        ("chatml", "chatml"),
        ("{{ bos_token }}[INST] {{ messages[0]['content'] }} [/INST]", "other"),
        (None, "none"),
        ("", "none"),
        (" \n", "none"),
    ],
)
def test_kinds_of_templates_are_told_apart(template: str | None, kind: str) -> None:
    assert template_kind(template) == kind
