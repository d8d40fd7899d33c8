"""Where conversations are cut, how they open, and what lines become in them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from dataset.chats import made, scene, told

from relay_gguf.conversation.export import FORMATS, write
from relay_gguf.conversation.messages import NICKS, Message, cast, join, slap, topic, wildcard
from relay_gguf.dataset.build import Options
from relay_gguf.dataset.drafts import ConversationLimits
from relay_gguf.dataset.logs.log_line import fold
from relay_gguf.dataset.masks import Masks
from relay_gguf.dataset.people import pattern
from relay_gguf.dataset.tally import Tally
from relay_gguf.dataset.turns import TurnStyle


def test_a_silence_ends_a_conversation(tmp_path: Path) -> None:
    log = "10:00 <b> 1\n10:01 <ann> 2\n10:32 <b> 3\n11:02 <ann> 4\n12:00 <ann> 5\n"
    assert made(tmp_path, log) == [
        scene("anon") + "anon: 1\nuser: 2\n",
        scene("anon") + "anon: 3\nuser: 4\n",
        scene() + "user: 5\n",
    ]
    assert len(made(tmp_path, log, limits={"gap": 60 * 60})) == 1
    assert len(made(tmp_path, "<b> 1\n<ann> 2\n<b> 3\n<ann> 4\n")) == 1


def test_who_came_last_joins_the_other(tmp_path: Path) -> None:
    b, ann = "-!- b [~b@h] has joined #boats\n", "-!- ann [~a@h] has joined #boats\n"
    assert made(tmp_path, f"10:00 {b}10:01 <ann> hi\n") == [scene("anon") + "user: hi\n"]
    assert made(tmp_path, f"10:00 {b}10:01 {ann}10:02 <b> hi\n10:02 <ann> hi\n") == [
        scene() + "anon: hi\nuser: hi\n"
    ]
    long_ago = f"10:00 {ann}11:00 <b> hi\n11:01 <ann> hi\n"
    assert made(tmp_path, long_ago) == [scene("anon") + "anon: hi\nuser: hi\n"]
    during = f"10:00 <b> hi\n10:00 {b}10:01 <ann> hi\n10:02 {ann}10:02 <ann> re\n"
    assert made(tmp_path, during) == [
        scene("anon") + "anon: hi\nuser: hi\n",
        scene() + "user: re\n",
    ]


def test_a_conversation_ends_with_the_model(tmp_path: Path) -> None:
    tally = Tally()
    log = "10:00 <b> hi\n10:01 <ann> hi\n10:02 <b> you there?\n10:03  * b waits\n"
    assert made(tmp_path, log, tally=tally) == [scene("anon") + "anon: hi\nuser: hi\n"]
    assert tally.unanswered == 3


def test_conversations_with_too_few_replies_are_left_out(tmp_path: Path) -> None:
    tally = Tally()
    log = (
        "08:00 <b> a\n09:00 <b> a\n09:01 <ann> b\n10:00 <b> a\n10:01 <ann> b\n10:02 <b> c\n"
        "10:02 <ann> d\n"
    )
    found = made(tmp_path, log, limits={"min_replies": 2}, tally=tally)
    assert found == [scene("anon") + "anon: a\nuser: b\nanon: c\nuser: d\n"]
    assert (tally.without_reply, tally.too_few_replies) == (1, 1)


def test_cut_for_size_keeps_question_and_answer_together(tmp_path: Path) -> None:
    log = "".join(f"10:00 <b> q{n}\n10:00 <c> q{n}\n10:00 <ann> a{n}\n" for n in range(9))
    found = made(tmp_path, log, limits={"max_messages": 16})
    assert all(text.endswith(("user: a3\n", "user: a7\n", "user: a8\n")) for text in found)
    assert [text.count("user: a") for text in found] == [4, 4, 1]
    assert all(text.startswith(scene("anon") + "anon: q") for text in found)
    found = made(tmp_path, log, limits={"max_tokens": 100})
    assert "".join(text.removeprefix(scene("anon")) for text in found) == "".join(
        f"anon: q{n}\nanon: q{n}\nuser: a{n}\n" for n in range(9)
    )


def test_messages_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    tally = Tally()
    log = f"10:00 <b> hi\n10:00 <b> {'long ' * 300}\n10:00 <ann> hi\n"
    found = made(tmp_path, log, limits={"max_tokens": 256}, tally=tally)
    assert found == [scene("anon") + "anon: hi\nuser: hi\n"]
    assert tally.too_long == 1


def test_lines_of_one_person_are_joined(tmp_path: Path) -> None:
    log = (
        "10:00:00 <b> a\n10:00:05 <b> b\n10:00:20 <b> c\n"
        "10:00:20 <c> d\n10:00:21 <ann> e\n10:00:22 <ann> f\n"
    )
    assert made(tmp_path, log, limits={"join_lines": 10}) == [
        scene("anon") + "anon: a\nb\nanon: c\nanon: d\nuser: e\nf\n"
    ]


def test_addresses_of_the_model_are_taken_off(tmp_path: Path) -> None:
    log = """\
10:00 <bob> ann: hi
10:00 <bob> ANN, hi
10:00 <bob> @ann hi
10:00 <bob> ann:
10:00 <ann> bob: hi
10:00 <ann> nobody: hi
10:00 <carol> bob: hi
10:00 <ann> http://x
"""
    assert made(tmp_path, log) == [
        scene("anon")
        + "anon: hi\nanon: hi\nanon: hi\nanon: ...\nuser: hi\nuser: nobody: hi\n"
        + "anon: bob: hi\nuser: http://x\n"
    ]
    assert made(tmp_path, log, style=TurnStyle(prefix_nicks=True)) == [
        scene("anon")
        + "anon: bob: hi\nanon: bob: hi\nanon: bob: hi\nanon: bob: ...\nuser: bob: hi\n"
        + "user: nobody: hi\nanon: carol: bob: hi\nuser: http://x\n"
    ]


def test_actions_become_commands_or_stars(tmp_path: Path) -> None:
    log = """\
10:00  * bob waves
10:00  * ann waves back
10:00  * bob slaps ann around a bit with a large trout
10:00  * bob slaps carol around a bit with a large trout
10:00  * bob slaps ann around with a wet trout!
10:00  * ann slaps bob around a bit with a large trout
10:00 <bob> /dance
10:00 <ann> /etc/hosts
10:00 <bob> ?
10:00 <ann> !
"""
    trout = "around a bit with a large trout"
    slapped = f"anon: /slap user\nsystem: * anon slaps user {trout}\n"
    assert made(tmp_path, log) == [
        scene("anon")
        + "anon: /me waves\nsystem: * anon used /me waves\nuser: *waves back*\n"
        + slapped
        + f"anon: /me slaps carol {trout}\nsystem: * anon used /me slaps carol {trout}\n"
        + slapped
        + f"user: *slaps bob {trout}*\nanon: /dance\nuser: /etc/hosts\nanon: ?\nuser: !\n"
    ]


def test_nick_changes_are_followed(tmp_path: Path) -> None:
    log = """\
10:00 <ann> 1
10:00 -!- ann is now known as ann|away
10:01 <Ann|Away> 2
10:01 <bob> 3
10:02 -!- bob is now known as ann
10:02 <ann> 4
10:03 -!- ann|away is now known as [zzz]
10:03 <{zzz}> 5
10:03 -!- zoe [~z@h] has joined #boats
10:03 -!- [zzz] [~a@h] has quit [bye]
10:04 <[zzz]> 6
10:04 <ann> 7
"""
    assert made(tmp_path, log) == [
        scene() + "user: 1\nuser: 2\nanon: 3\nuser: 4\nuser: 5\n",
        scene("anon") + "anon: 6\nuser: 7\n",
    ]
    # `{zzz}` is `[zzz]` to IRC; whoever takes a name that --as gives is the model, too.


def test_a_change_that_nobody_can_follow_is_told(tmp_path: Path) -> None:
    tally = Tally()
    log = "10:00 <ann> 1\n10:00 -!- You're now known as ann_\n10:00 <ann_> 2\n"
    assert made(tmp_path, log, tally=tally) == [scene() + "user: 1\n"]
    assert "1 times" in list(tally.table(exact=False))[-1]


@pytest.mark.parametrize(
    ("given", "nick", "matches"),
    [
        ("ann", "ANN", True),
        ("ann", "ann_", False),
        ("ann*", "ann_", True),
        ("ann?", "ann_", True),
        ("a[b]", "a{b}", True),
        ("a[b]", "ab", False),
        ("a.c", "abc", False),
    ],
)
def test_patterns_name_the_model(given: str, nick: str, matches: bool) -> None:
    assert bool(pattern(given).fullmatch(fold(nick))) is matches


def test_bios_are_asked_for_at_the_beginning(tmp_path: Path) -> None:
    log = "10:00 <bob> hi\n10:00 -!- ann is now known as zoe\n10:00 <zoe> hi\n"
    bios = {"ann": "a sailor", "bob": "a baker"}
    assert made(tmp_path, log, bios=bios) == [
        scene("anon")
        + "anon: /whois user\nsystem: * user's bio: a sailor\n"
        + "user: /whois anon\nsystem: * anon's bio: a baker\n"
        + "anon: hi\nuser: hi\n"
    ]
    three = log.replace("-!- ann", "<carol> hi\n10:00 -!- ann")
    (text,) = made(tmp_path, three, bios=bios)
    assert "a sailor" in text
    assert "a baker" not in text


def test_topics_are_set_and_changed(tmp_path: Path) -> None:
    log = """\
10:00 <bob> hi
10:00 <ann> hi
10:01 -!- bob changed the topic of #boats to: sails
10:01 -!- ann changed the topic of #boats to: oars
10:01 <ann> better
12:00 <ann> hi
13:00 -!- Topic unset by bob on #boats
13:00 <ann> hi
"""
    assert made(tmp_path, log) == [
        scene("anon")
        + "anon: hi\nuser: hi\nanon: /topic sails\nsystem: * Topic for #boats is: sails\n"
        + "user: /topic oars\nsystem: * Topic for #boats is: oars\nuser: better\n",
        scene() + "anon: /topic oars\nsystem: * Topic for #boats is: oars\nuser: hi\n",
        scene() + "user: hi\n",
    ]
    assert not any("/topic" in text for text in made(tmp_path, log, topics=False))


def test_a_change_of_channel_ends_a_conversation(tmp_path: Path) -> None:
    log = "10:00 -!- ann [~a@h] has joined #cats\n10:00 <ann> hi\n"
    assert made(tmp_path, log) == [scene() + "user: hi\n"]
    assert made(tmp_path, log, name="x.log") == [scene(channel="cats") + "user: hi\n"]
    assert made(tmp_path, log, name="x.log", channel="#dogs") == [
        scene(channel="dogs") + "user: hi\n"
    ]
    assert made(tmp_path, "<ann> hi\n", name="x.log") == [scene(channel="random") + "user: hi\n"]


def test_masks_replace_nicks_in_texts_too(tmp_path: Path) -> None:
    log = (
        "10:00 <bob> ann: hi, BOB here\n10:00 <ann> hi bob_ and bob-\n"
        "10:00  * carol pokes ann\n10:00 <ann> carol: Bob!\n"
    )
    style = TurnStyle(prefix_nicks=True, masks=Masks(0))
    (text,) = made(tmp_path, log, style=style)
    masks = Masks(0)
    bob, carol = masks.mask("1"), masks.mask("2")
    assert text == (
        scene("anon")
        + f"anon: {bob}: hi, {bob} here\nuser: hi bob_ and {bob}-\n"
        + "anon: /me pokes user\nsystem: * anon used /me pokes user\n"
        + f"user: {carol}: {bob}!\n"
    )
    names = {masks.mask(str(n)) for n in range(1000)}
    assert len(names) == 1000


EXPORTED = [
    *join(NICKS, "model", "lisbon"),
    *topic(NICKS, "input", "lisbon", "fish"),
    *cast(NICKS, "input", "I sell sardines"),
    Message("anon", "/etc is a folder"),
    Message("user", "so it is"),
    *slap(NICKS, "input"),
    Message("user", "ow"),
    *wildcard(NICKS, "input", "/dance", ""),
    *wildcard(NICKS, "input", "/me", "waves"),
    *cast(NICKS, "model", "a tourist"),
    Message("user", "nice\nmoves"),
    *join(NICKS, "input", "porto"),
    Message("anon", "hello: world"),
    Message("user", "* not an action\n-- nor this"),
]


@pytest.mark.parametrize("style", ["irssi", "weechat"])
def test_our_own_exports_read_back(style: str, tmp_path: Path) -> None:
    assert style in FORMATS
    dated = [(1_700_000_000.0 + 100 * n, message) for n, message in enumerate(EXPORTED)]
    path = write(dated, style, tmp_path, channel="lisbon", model="m", now=time.time())
    tally = Tally()
    found = told([path], Options(["user"], limits=ConversationLimits(join_lines=1)), tally)
    assert "".join(found) == "".join(f"{line.nick}: {line.content}\n" for line in EXPORTED)
    assert len(found) == 2
    assert tally.unknown == 0


def test_a_log_may_begin_in_the_middle(tmp_path: Path) -> None:
    log = "nd then?\n10:00 <ann> 1\n10:00 <bob> 2\n10:00 <ann> 3\n"
    tally = Tally()
    assert made(tmp_path, log, tally=tally) == [scene() + "user: 1\nanon: 2\nuser: 3\n"]
    assert tally.unknown == 1
