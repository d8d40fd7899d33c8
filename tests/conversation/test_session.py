"""Typed lines in, events out: what each command does to a conversation, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake import FakeEngine, engine_of, fake_session, run
from hypothesis import given
from hypothesis import strategies as st
from told import context, draft, notices

from relay_gguf import SamplingParams
from relay_gguf.conversation.actions import ACTIONS
from relay_gguf.conversation.commands import COMMANDS
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import (
    Failed,
    Left,
    Piece,
    Prompted,
    Said,
    Typing,
)
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session


def test_every_command_of_the_table_does_something() -> None:
    assert set(ACTIONS) == set(COMMANDS)


def test_a_turn_yields_its_events_in_order() -> None:
    session = fake_session(["hé"])
    (typed, typing, prompted, *pieces, said) = run(session, "hello")

    assert isinstance(typed, Said)
    assert (typed.message.nick, typed.message.content) == ("anon", "hello")
    assert typing == Typing("user")
    assert isinstance(prompted, Prompted)
    assert prompted.text.endswith("<|im_start|>anon\nhello<|im_end|>\n<|im_start|>user\n")
    assert pieces == [Piece("h"), Piece("é")]
    assert isinstance(said, Said)
    assert (said.message.content, said.tokens, said.message.cut) == ("hé", 3, False)


# Undo and edit


def test_undo_takes_back_turn_after_turn() -> None:
    session = fake_session(["a", "b"])
    run(session, "one", "/topic sea", "/slap")

    assert draft(run(session, "/undo")) == "/slap"
    assert context(session) == [
        "anon: one",
        "user: a",
        "anon: /topic sea",
        "system: * Topic for #random is: sea",
    ]
    assert draft(run(session, "/undo")) == "/topic sea"
    assert draft(run(session, "/undo")) == "one"
    assert context(session) == []
    assert notices(run(session, "/undo")) == ["* Nothing to undo."]


def test_undo_of_a_join_brings_the_scene_back() -> None:
    session = fake_session(["a"])
    run(session, "one", "/join #boston", "/undo")
    assert context(session) == ["anon: one", "user: a"]
    assert session.transcript.channel == "random"
    run(session, "/reset", "/undo")
    assert context(session) == ["anon: one", "user: a"]


@pytest.mark.parametrize("line", ["//etc/hosts", "/message /etc/hosts"])
def test_undone_text_means_the_same_again(line: str) -> None:
    session = fake_session()
    run(session, line)
    assert context(session)[0] == "anon: /etc/hosts"
    again = draft(run(session, "/undo"))
    assert again is not None
    run(session, again)
    assert context(session)[0] == "anon: /etc/hosts"


def test_edit_says_something_else_instead() -> None:
    session = fake_session(["a", "b", "c"])
    run(session, "one", "two", "/edit three")
    assert context(session) == ["anon: one", "user: a", "anon: three", "user: c"]
    assert draft(run(session, "/edit")) == "/edit three"
    assert context(session)[-2:] == ["anon: three", "user: c"]
    assert "/undo first" in notices(run(session, "/edit /topic x"))[0]


# Lazy


def test_lazy_writes_then_answers() -> None:
    session = fake_session(["i am anon", "and i am user"])
    events = run(session, "/lazy")
    assert [event.nick for event in events if isinstance(event, Typing)] == ["anon", "user"]
    assert context(session) == ["anon: i am anon", "user: and i am user"]
    assert draft(run(session, "/undo")) == "i am anon"


def test_lazy_goes_on_from_a_beginning() -> None:
    session = fake_session([" of the sea", "ok"])
    run(session, "/lazy I dream")
    assert context(session) == ["anon: I dream of the sea", "user: ok"]
    first = engine_of(session).text(engine_of(session).prompts[0])
    assert first.endswith("<|im_start|>anon\nI dream")


@pytest.mark.parametrize(
    "line", ["/lazy do you like?", "/lazy do you like ?", "/lazy? do you like"]
)
def test_lazy_with_a_question_mark_writes_a_draft(line: str) -> None:
    session = fake_session([" me"])
    assert draft(run(session, line)) == "do you like me"
    assert context(session) == []


# A full context


def test_lone_surrogates_are_replaced() -> None:
    session = Session(Dialogue(Generator(FakeEngine(), SamplingParams()), channel="a\udcff"))
    list(session.start())
    run(session, "b\udcff")
    assert context(session)[0] == "user: /join #a?"
    assert context(session)[3] == "anon: b?"


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "/retry",
                    "/undo",
                    "/prev",
                    "/next",
                    "/slap",
                    "/lazy",
                    "/continue",
                    "/reset",
                    "/edit other",
                    "/topic t",
                    "/cast c",
                    "/join #x",
                    "/context",
                ]
            ),
            st.text("ab ", min_size=1, max_size=80),
        ),
        max_size=25,
    )
)
def test_any_lines_leave_context_transcript_and_cache_in_step(lines: list[str]) -> None:
    session = fake_session(["r" * 30, "s" * 61, "t"] * 30, n_ctx=700, max_tokens=60)
    for line in lines:
        events = run(session, line)
        assert not [event for event in events if isinstance(event, Failed)], events
        context(session)
    engine = engine_of(session)
    encoder = session.dialogue.generator.encoder
    if engine.prompts:
        run(session, "last")
        # The last reply is not part of the prompt it answers.
        prompt = encoder.prompt(session.transcript.context[:-1], "user")
        assert engine.prompts[-1] == prompt


# The rest


def test_context_tells_who_said_what_in_tokens() -> None:
    session = fake_session(["ok"], n_ctx=1000)
    run(session, "hello " * 30)
    (text,) = notices(run(session, "/context"))
    assert text == (
        "    21  user    /join #random\n"
        "    34  system  * Now talking in #random\n"
        "    35  system  * anon has joined #random\n"
        "   187  anon    hello hello hello hello hello hello hello hello hello h…\n"
        "    10  user    ok\n"
        "   288  of 1000 tokens (29%), 128 kept for a reply"
    )


def test_help_lists_every_command() -> None:
    (text,) = notices(run(fake_session(), "/help"))
    assert [line.split()[0] for line in text.splitlines()[:-1]] == [f"/{name}" for name in COMMANDS]
    assert notices(run(fake_session(), "/help slap"))[0].startswith("/slap")
    assert "goes to the model" in notices(run(fake_session(), "/help /dance"))[0]


@pytest.mark.parametrize("line", ["/exit", "/quit"])
def test_exit_and_quit_leave(line: str) -> None:
    assert run(fake_session(), line) == [Left()]


@pytest.mark.parametrize("style", ["jsonl", "txt", "md", "html", "irssi", "weechat"])
def test_export_writes_a_new_file_each_time(style: str, tmp_path: Path) -> None:
    session = fake_session(["aye"], exports=tmp_path)
    first = notices(run(session, "/cast I'm a *pirate*", "hi", f"/export {style}"))[-1]
    second = notices(run(session, f"/export {style}"))[-1]
    assert first != second
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    assert "aye" in files[0].read_text("utf-8")


def test_an_unknown_export_format_is_refused_with_the_list() -> None:
    assert notices(run(fake_session(), "/export pdf")) == [
        "* No format 'pdf'. There are: jsonl, txt, md, html, irssi, weechat."
    ]


def test_a_session_starts_with_a_channel_a_topic_and_a_bio() -> None:
    session = Session(Dialogue(Generator(FakeEngine(), SamplingParams()), channel="#boston"))
    list(session.start(topic="Tea", cast="a rebel"))
    assert context(session) == [
        "user: /join #boston",
        "system: * Now talking in #boston",
        "system: * anon has joined #boston",
        "anon: /topic Tea",
        "system: * Topic for #boston is: Tea",
        "anon: /whois user",
        "system: * user's bio: a rebel",
    ]
    assert session.status.topic == "Tea"


def lines_of(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)


def test_jsonl_export_is_the_originals(tmp_path: Path) -> None:
    session = fake_session(["naïve"], exports=tmp_path)
    run(session, "hi", "/export")
    (path,) = tmp_path.iterdir()
    assert list(lines_of(path))[-2:] == [
        {"role": "anon", "content": "hi", "model": "fake"},
        {"role": "user", "content": "naïve", "model": "fake"},
    ]


# Sampling


def test_sampling_is_set_in_the_chat() -> None:
    session = fake_session(["a", "b"])
    assert notices(run(session, "hi", "/set temperature 0.7", "/set top-k=5")) == [
        "* temperature is 0.7 from now on; it was 0.3.",
        "* top_k is 5 from now on; it was 40.",
    ]
    run(session, "/set dry_multiplier 0.8", "/set loop-guard 4")
    run(session, "again")
    first, second = engine_of(session).params
    assert (first.temperature, first.top_k) == (0.3, 40)
    assert (second.temperature, second.top_k) == (0.7, 5)
    assert (second.dry_multiplier, second.loop_guard) == (0.8, 4)
    (all_,) = notices(run(session, "/set"))
    assert all_.splitlines()[:2] == ["temperature        0.7", "top_k              5"]
    assert notices(run(session, "/set min_p")) == ["min_p              0.05"]


def test_a_seed_that_is_set_makes_replies_repeatable() -> None:
    session = fake_session()
    run(session, "/set seed 7", "hi", "/set seed 7", "hi")
    first, second = engine_of(session).params
    assert first.seed == second.seed


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("/set heat 3", "* There is no option 'heat' to set. There are: temperature, top_k"),
        ("/set temperature hot", "* 'hot' is not a number."),
        ("/set top_k 1.5", "* '1.5' is not a whole number."),
        ("/set temperature -1", "* temperature is -1.0; it must be 0 to 100."),
    ],
)
def test_what_cannot_be_set_is_told(typed: str, says: str) -> None:
    session = fake_session()
    before = session.dialogue.generator.params
    (notice,) = notices(run(session, typed))
    assert notice.startswith(says)
    assert session.dialogue.generator.params == before
