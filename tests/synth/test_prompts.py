"""The prompts of numbered scenes: Relay's words, examples, starters, and what a number decides."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from relay_gguf.errors import SettingsError
from relay_gguf.synth.prompts.examples import Example, read_examples
from relay_gguf.synth.prompts.head import head_lines, head_messages
from relay_gguf.synth.prompts.premise import Premise, PremiseWords, read_words
from relay_gguf.synth.prompts.scene_prompt import ScenePrompts
from relay_gguf.synth.prompts.starters import read_starters
from relay_gguf.synth.run_options import SynthOptions, numbers, prepare

PREMISE = Premise("boats", "knots", "a sailor")
PROMPTS = ScenePrompts(
    PremiseWords({"boats": ()}, (), ()), read_examples(None), ("ahoy",), "relay", 2, 32, 7
)


def test_a_head_has_the_very_words_of_a_chat() -> None:
    assert head_lines(PREMISE, "relay") == [
        "* Now talking in #boats",
        "* anon has joined #boats",
        "* Topic for #boats is: knots",
        "* user's bio: a sailor",
    ]
    assert [(m.nick, m.content) for m in head_messages(PREMISE, "relay")] == [
        ("user", "/join #boats"),
        ("system", "* Now talking in #boats"),
        ("system", "* anon has joined #boats"),
        ("anon", "/topic knots"),
        ("system", "* Topic for #boats is: knots"),
        ("anon", "/whois user"),
        ("system", "* user's bio: a sailor"),
    ]
    assert head_lines(PREMISE, "author") == ["* <anon> has joined the room"]
    (only,) = head_messages(PREMISE, "author")
    assert (only.nick, only.content) == ("system", "* anon has joined #random")


def test_a_prompt_is_examples_and_a_head_and_ends_where_the_model_goes_on() -> None:
    text = PROMPTS.prompt(3).text
    assert text.count("* Now talking in #") == 3
    assert text.endswith(
        "\n\n* Now talking in #boats\n* anon has joined #boats\n<anon> ahoy\n<user>"
    )
    own = replace(PROMPTS, starters=(), n_examples=0).prompt(3)
    assert own.text == "* Now talking in #boats\n* anon has joined #boats\n<anon>"
    assert own.opens == "<anon>"
    author = replace(PROMPTS, style="author", n_examples=1).prompt(3).text
    assert author.count("* <anon> has joined the room\n<anon> ") == 2
    assert "Now talking" not in author


def test_a_number_decides_a_scene_and_its_block_the_examples() -> None:
    seeds = {PROMPTS.prompt(n).seed for n in range(500)}
    assert len(seeds) == 500
    assert PROMPTS.prompt(41) == PROMPTS.prompt(41)
    assert PROMPTS.examples(0) == PROMPTS.examples(31) != PROMPTS.examples(32)
    assert replace(PROMPTS, seed=8).prompt(41).seed != PROMPTS.prompt(41).seed


@pytest.mark.parametrize("size", [1, 2, 3, 10, 64, 100])
def test_each_starter_comes_once_before_any_comes_again(size: int) -> None:
    starters = tuple(f"starter {n}" for n in range(size))
    prompts = replace(PROMPTS, starters=starters)
    found = [prompts.prompt(n).starter for n in range(2 * size)]
    assert sorted(found[:size]) == sorted(found[size:]) == sorted(starters)
    assert size < 10 or found[:size] != found[size:]


def test_premises_are_crossed_from_our_words() -> None:
    words, rng = read_words(None), random.Random(1)
    found = [words.premise(rng) for _ in range(2000)]
    assert {p.channel for p in found} == set(words.channels)
    assert 0.55 < sum(bool(p.topic) for p in found) / 2000 < 0.65
    assert 0.35 < sum(bool(p.bio) for p in found) / 2000 < 0.45
    assert len(set(found)) > 1000


def test_our_examples_are_whole_scenes_of_natural_length() -> None:
    pool = read_examples(None)
    assert len(pool) >= 30
    for example in pool:
        nicks = [line[1:5] for line in example.talk]
        assert nicks[0] == "anon"
        assert nicks[-1] == "user"
        assert example.head[0].startswith("* Now talking in #")
    replies = [line[7:].split() for e in pool for line in e.talk if line.startswith("<user>")]
    assert 6 <= sum(map(len, replies)) / len(replies) <= 12
    assert max(Counter(map(tuple, replies)).values()) == 1


def test_examples_of_a_data_set_are_what_a_channel_shows(tmp_path: Path) -> None:
    rows = [
        *({"role": m.nick, "content": m.content} for m in head_messages(PREMISE, "relay")),
        {"role": "anon", "content": "hi\nyou"},
        {"role": "user", "content": "/me waves"},
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": rows}) + "\n", "utf-8")
    talk = ("<anon> hi", "<anon> you", "* user waves")
    assert read_examples(path) == (Example(tuple(head_lines(PREMISE, "relay")), talk),)
    turned = [{"from": row["role"], "value": row["content"]} for row in rows]
    path.write_text(json.dumps({"conversations": turned}), "utf-8")
    assert read_examples(path)[0].talk == talk


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<anon> a\n<bob> b\n", r"line 2: '<bob> b' is not a line of a scene"),
        ("<anon> alone\n", "no scene of two lines"),
        ('{"messages": [{"role": "bob", "content": "x"}]}', "line 1 is not a conversation"),
        ('{"text": 1}', "line 1 is not a conversation"),
    ],
)
def test_other_examples_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "examples"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=message):
        read_examples(path)
    with pytest.raises(SettingsError, match="Cannot read the examples"):
        read_examples(tmp_path / "none")


def test_starters_come_from_text_and_from_a_field_of_json(tmp_path: Path) -> None:
    path = tmp_path / "starters.txt"
    path.write_text(f"one_comma_  two\n\nthree\nthree\n{'x' * 500}\n", "utf-8")
    found, counts = read_starters(path)
    assert found == ("one, two", "three")
    assert (counts.lines, counts.too_long, counts.seen, counts.rare) == (4, 1, 1, 0)
    lines = tmp_path / "starters.jsonl"
    lines.write_text('{"q": "why\\nnot"}\n{"q": "who"}\n', "utf-8")
    assert read_starters(lines, "q")[0] == ("why not", "who")
    with pytest.raises(SettingsError, match=r"name the field with --field"):
        read_starters(lines)
    with pytest.raises(SettingsError, match=r"no text in a field 'x'\. Its fields: q"):
        read_starters(lines, "x")


def test_the_authors_filter_leaves_out_starters_with_a_rare_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("wordfreq")
    module.zipf_frequency = lambda word, language: 5.0 - len(word) / 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wordfreq", module)
    path = tmp_path / "starters.txt"
    path.write_text("who are you\na chrysanthemum here\n", "utf-8")
    found, counts = read_starters(path, min_zipf=2.5)
    assert found == ("who are you",)
    assert counts.rare == 1
    monkeypatch.setitem(sys.modules, "wordfreq", None)
    with pytest.raises(SettingsError, match=r"--min-zipf needs wordfreq.* pip install"):
        read_starters(path, min_zipf=2.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topics = []\n", r"needs a table \[channels\]"),
        ("[channels]\nboats = 3\n", "must be a list of strings"),
        ("topic = []\n[channels]\nboats = []\n", "unknown key 'topic'"),
        ('bios = ["two\\nlines"]\n[channels]\nboats = []\n', "must be a string of one line"),
    ],
)
def test_other_words_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=message):
        read_words(path)


def test_numbers_are_the_first_ones_or_a_range() -> None:
    assert numbers(3, None) == range(3)
    assert numbers(None, "1000-1999") == range(1000, 2000)
    for wrong in ("5", "9-3", "a-b", "-3", "1-2-3", ""):
        with pytest.raises(SettingsError, match="it must be like 1000-1999"):
            numbers(None, wrong)
    for both in ((None, None), (3, "1-2")):
        with pytest.raises(SettingsError, match="Give --conversations N"):
            numbers(*both)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SynthOptions(head="mine"), "--head is 'mine'; it may be relay or author"),
        (SynthOptions(n_examples=4), "--n-examples is 4"),
        (SynthOptions(min_zipf=2.5), "are for starters in a file"),
        (SynthOptions(starters="nowhere.txt"), "Cannot read the starters nowhere.txt"),
        (SynthOptions(temperature=-1), "temperature is -1"),
    ],
)
def test_wrong_options_are_refused(options: SynthOptions, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        prepare(options)


def test_the_run_knows_what_is_in_files_not_where_they_are(tmp_path: Path) -> None:
    def kept(name: str, text: str) -> object:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return prepare(SynthOptions(starters=str(path))).kept

    assert kept("a.txt", "one\ntwo\n") == kept("b.txt", "one\n\ntwo\n")
    assert kept("a.txt", "one\ntwo\n") != kept("b.txt", "one\n")
