"""Typed lines in, events out: what each command does to a conversation, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake import FakeEngine, engine_of, fails_at, fake_session, run
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf import SamplingParams
from relay_gguf.conversation.actions import ACTIONS
from relay_gguf.conversation.commands import COMMANDS
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import (
    Draft,
    Event,
    Failed,
    Left,
    Notice,
    Piece,
    Prompted,
    Said,
    Trimmed,
    Typing,
)
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session
from relay_gguf.conversation.wording import cut_mark

JOINED = [
    "user: /join #random",
    "system: * Now talking in #random",
    "system: * anon has joined #random",
]


def context(session: Session) -> list[str]:
    """The context after the first scene's opening lines."""
    lines = [f"{m.nick}: {m.content}" for m in session.transcript.context]
    return lines[3:] if lines[:3] == JOINED else lines


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def draft(events: list[Event]) -> str | None:
    drafts = [event.text for event in events if isinstance(event, Draft)]
    return drafts[-1] if drafts else None


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


# Retry and its alternatives


def test_retry_keeps_the_replies_before() -> None:
    session = fake_session(["one", "two", "three", "later"])
    run(session, "hi", "/retry", "/retry")
    assert context(session) == ["anon: hi", "user: three"]

    assert notices(run(session, "/prev")) == ["* user's reply 2/3:"]
    assert context(session) == ["anon: hi", "user: two"]
    assert notices(run(session, "/prev", "/prev"))[-1] == "* This is the first (1/3)."
    assert context(session) == ["anon: hi", "user: one"]
    assert notices(run(session, "/next", "/next", "/next"))[-1] == (
        "* This is the newest; /retry makes another (3/3)."
    )
    run(session, "/prev", "go on")
    assert context(session) == ["anon: hi", "user: two", "anon: go on", "user: later"]


@pytest.mark.parametrize("before", [(), ("/topic x",), ("/join #a",), ("hi", "/cast a cat")])
def test_nothing_to_retry_leaves_the_context_alone(before: tuple[str, ...]) -> None:
    session = fake_session()
    run(session, *before)
    kept = context(session)
    assert notices(run(session, "/retry")) == ["* Nothing to retry: the model did not speak last."]
    assert context(session) == kept


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


# Cut replies


def test_a_reply_that_was_cut_goes_on() -> None:
    session = fake_session(["héllo", b"\xa9llo"], max_tokens=2)
    run(session, "hi")
    assert context(session) == ["anon: hi", "user: h\ufffd"]  # cut within a character

    generator = session.dialogue.generator
    generator.params = replace(generator.params, max_tokens=50)
    run(session, "/continue")

    assert context(session) == ["anon: hi", "user: héllo"]
    assert notices(run(session, "/continue")) == ["* There is no reply that was cut."]


def cancel_at(session: Session, number: int) -> None:
    engine_of(session).on_token = lambda count: session.cancel() if count == number else None


def test_a_cancelled_reply_is_kept_and_marked() -> None:
    session = fake_session(["a long reply", "another"])
    cancel_at(session, 7)  # before the seventh of its bytes
    run(session, "hi")
    assert context(session) == ["anon: hi", "user: a long"]
    last = session.transcript.last
    assert last is not None
    assert last.answer is not None
    assert last.answer.cut


def test_a_reply_cancelled_before_its_first_token_is_none() -> None:
    session = fake_session(["never", "said"])
    cancel_at(session, 1)
    assert notices(run(session, "hi")) == ["* No reply; /retry asks again."]
    assert context(session) == ["anon: hi"]
    engine_of(session).on_token = lambda count: None
    run(session, "/retry")
    assert context(session) == ["anon: hi", "user: said"]
    cancel_at(session, 1)
    assert notices(run(session, "/retry"))[-1] == "* The reply stays as it was."
    assert context(session) == ["anon: hi", "user: said"]


def test_a_model_that_fails_leaves_what_it_has_written(tmp_path: Path) -> None:
    session = fake_session(["a long reply", "and more", "one too", "what I would say"], tmp_path)
    engine_of(session).on_token = fails_at(7)
    *_, said, failed = run(session, "hi")
    assert isinstance(said, Said)
    assert cut_mark(said) == "* cut (the model failed); /continue goes on"
    assert failed == Failed("no more")
    assert context(session) == ["anon: hi", "user: a long"]
    assert run(session, "/continue")[-1] == Failed("no more")
    assert context(session) == ["anon: hi", "user: a longand mo"]
    assert run(session, "/retry")[-1] == Failed("no more")
    assert context(session) == ["anon: hi", "user: one to"]
    assert run(session, "/lazy")[-2:] == [Draft("what I"), Failed("no more")]
    assert context(session) == ["anon: hi", "user: one to"]
    name = session.dialogue.name
    assert name is not None
    session.close()
    again = fake_session((), tmp_path)
    list(again.resume(name))
    assert context(again) == ["anon: hi", "user: one to"]
    again.close()


def test_a_ctrl_c_that_breaks_through_leaves_what_is_written() -> None:
    session = fake_session(["a long reply"])

    def interrupt(count: int) -> None:
        if count == 7:
            raise KeyboardInterrupt

    engine_of(session).on_token = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(session, "hi")
    assert context(session) == ["anon: hi", "user: a long"]


def test_a_cancelled_lazy_is_a_draft() -> None:
    session = fake_session(["what I would say"])
    cancel_at(session, 5)
    assert draft(run(session, "/lazy")) == "what"
    assert context(session) == []


def test_cancel_without_a_reply_does_nothing() -> None:
    session = fake_session(["fine"])
    session.cancel()
    run(session, "hi")
    assert context(session) == ["anon: hi", "user: fine"]


# A full context


def test_old_turns_go_and_the_pinned_ones_stay() -> None:
    session = fake_session(["x" * 40] * 30, n_ctx=1000, max_tokens=100)
    run(session, "/topic the sea", "/cast I am old", "/topic the deep sea")
    trimmed = []
    for number in range(20):
        events = run(session, f"message number {number}")
        trimmed += [event for event in events if isinstance(event, Trimmed)]
        engine = engine_of(session)
        assert len(engine.prompts[-1]) + 100 <= 1000
    assert len(trimmed) >= 2
    assert engine_of(session).forgotten, "the cache is moved"
    assert context(session)[:4] == [
        "anon: /whois user",
        "system: * user's bio: I am old",
        "anon: /topic the deep sea",
        "system: * Topic for #random is: the deep sea",
    ]
    everything = [m.content for turn in session.transcript.scene for m in turn.messages]
    assert "message number 0" in everything


def test_after_a_trim_only_new_tokens_are_read() -> None:
    session = fake_session(["y" * 30] * 60, n_ctx=1000, max_tokens=100)
    read = [
        event.evaluated
        for number in range(50)
        for event in run(session, f"message {number:02}")
        if isinstance(event, Prompted)
    ]
    assert max(read[1:]) == min(read[1:])


@pytest.mark.parametrize("command", ["", "/topic ", "/cast ", "/dance "])
def test_what_cannot_fit_is_refused_and_returned(command: str) -> None:
    session = fake_session(n_ctx=1000, max_tokens=100)
    run(session, "hi")
    kept = context(session)
    line = command + "a" * 900

    *_, failed, returned = run(session, line)

    assert isinstance(failed, Failed)
    assert "tokens" in failed.text
    assert any(word.isdigit() and int(word) > 900 for word in failed.text.split())
    assert returned == Draft(line)
    assert context(session) == kept
    run(session, "hi again")
    assert context(session)[-1] == "user: ok"


def test_an_edit_that_cannot_fit_changes_nothing() -> None:
    session = fake_session(n_ctx=1000, max_tokens=100)
    run(session, "hi", "/edit " + "a" * 900)
    assert context(session) == ["anon: hi", "user: ok"]


def test_what_is_taken_can_be_answered() -> None:
    """At every length: either refused at once, or answered. BOS and the frame count too."""
    for length in range(770, 900):
        session = fake_session(n_ctx=1024, max_tokens=128)
        *_, last = run(session, "a" * length)
        assert isinstance(last, Said) or context(session) == []


def test_what_lazy_wrote_is_returned_if_it_does_not_fit() -> None:
    session = fake_session(["b" * 250], n_ctx=470, max_tokens=250)
    events = run(session, "/lazy")
    assert isinstance(events[-2], Failed)
    assert draft(events) == "b" * 250


def test_half_a_character_goes_on_with_its_own_other_half() -> None:
    """Two replies look alike when cut within a character, and are not."""
    session = fake_session([b"a\xc3\xa9", b"a\xc4\x81", b"\x81"], max_tokens=2)
    run(session, "one", "two", "/continue")
    assert context(session)[-1] == "user: a\u0101"


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


@pytest.mark.parametrize("style", ["jsonl", "txt", "md", "irssi", "weechat"])
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
        "* No format 'pdf'. There are: jsonl, txt, md, irssi, weechat."
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


# Other replies


def pieces(events: list[Event]) -> list[str]:
    """What was shown of replies as they came."""
    return [event.text for event in events if isinstance(event, Piece)]


def test_retry_draws_until_the_reply_differs() -> None:
    session = fake_session(["one", "one", "two", "one", "two", "one too"])
    events = run(session, "hi", "/retry")
    assert "".join(pieces(events)) == "onetwo", "what was there already is not shown"
    events = run(session, "/retry")
    assert pieces(events) == ["one ", "t", "o", "o"], "held back until it differs"
    last = session.transcript.last
    assert last is not None
    assert [answer.message.content for answer in last.answers] == ["one", "two", "one too"]
    assert {params.temperature for params in engine_of(session).params} == {0.3}


def test_retry_grows_warmer_when_the_model_repeats_itself() -> None:
    session = fake_session(["one", "one", "one", "one", "another"])
    told = notices(run(session, "hi", "/retry"))
    assert told == [
        "* user's reply is replaced (2/2), /prev brings it back:",
        "* The same again; now at temperature 0.6:",
    ]
    assert context(session)[-1] == "user: another"
    drawn = [params.temperature for params in engine_of(session).params]
    assert drawn == [0.3, 0.3, 0.3, 0.3, 0.6]
    assert session.dialogue.generator.params.temperature == 0.3, "only for that reply"


def test_a_model_that_has_nothing_else_to_say_keeps_its_reply() -> None:
    session = fake_session(["one"] * 9)
    events = run(session, "hi", "/retry")
    assert notices(events)[1:] == [
        "* The same again; now at temperature 0.6:",
        "* The same again; now at temperature 1:",
        "* The model said the same 5 times.",
        "* The reply stays as it was.",
    ]
    assert "".join(pieces(events)) == "one"
    last = session.transcript.last
    assert last is not None
    assert len(last.answers) == 1


def test_a_retry_at_temperature_0_says_why_it_repeats_itself() -> None:
    session = fake_session(["one", "one"])
    assert notices(run(session, "/set temperature 0", "hi", "/retry"))[1:] == [
        "* user's reply is replaced (2/2), /prev brings it back:",
        "* At temperature 0 a reply repeats itself; /set temperature 0.7 helps.",
    ]
    assert len(engine_of(session).prompts) == 2


def test_a_retry_that_is_cancelled_draws_no_other() -> None:
    session = fake_session(["one", "one", "never"])
    run(session, "hi")
    engine_of(session).on_token = lambda count: session.cancel() if count == 4 else None
    engine_of(session).replies.appendleft("one and all")
    run(session, "/retry")
    assert context(session)[-1] == "user: one", "cut where it was already there"
    assert len(engine_of(session).prompts) == 2


# Near misses


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/slapp", "/slap"),
        ("/JOIN #a", "/join"),
        ("/who", "/context"),
        ("/list", "/load"),
        ("/part", "/exit"),
        ("/clear", "/reset"),
        ("/Retry", "/retry"),
    ],
)
def test_near_misses_go_to_the_model_and_are_told(typed: str, meant: str) -> None:
    session = fake_session(["eh?"])
    (note,) = notices(run(session, typed))
    name, _, rest = typed.partition(" ")
    assert note.startswith(f"* {name} was sent to the model; {meant} is the command: ")
    said = [message.content for message in session.transcript.context]
    assert said[-3:] == [f"{name} {rest}", f"* anon used {name} {rest}", "eh?"]


@pytest.mark.parametrize("typed", ["/dance wildly", "/", "/me sighs", "/nick bob", "/tell a joke"])
def test_inventions_are_not_near_misses(typed: str) -> None:
    assert notices(run(fake_session(), typed)) == []


@pytest.mark.parametrize("typed", ["/join #a #b", "/join #a,#b"])
def test_one_channel_at_a_time(typed: str) -> None:
    session = fake_session()
    assert notices(run(session, typed)) == [
        "* One channel at a time: a scene plays in one place. /join #boston"
    ]
    assert session.transcript.channel == "random"


def test_a_cast_without_a_bio_shows_what_one_looks_like() -> None:
    (notice,) = notices(run(fake_session(), "/cast"))
    assert notice.startswith("* Invalid: Missing description. A bio is ")
    assert "/cast I'm Mia" in notice


# Sampling


def test_sampling_is_set_in_the_chat() -> None:
    session = fake_session(["a", "b"])
    assert notices(run(session, "hi", "/set temperature 0.7", "/set top-k=5")) == [
        "* temperature is 0.7 from now on; it was 0.3.",
        "* top_k is 5 from now on; it was 40.",
    ]
    run(session, "again")
    first, second = engine_of(session).params
    assert (first.temperature, first.top_k) == (0.3, 40)
    assert (second.temperature, second.top_k) == (0.7, 5)
    (all_,) = notices(run(session, "/set"))
    assert all_.splitlines()[:2] == ["temperature     0.7", "top_k           5"]
    assert notices(run(session, "/set min_p")) == ["min_p           0.05"]


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
