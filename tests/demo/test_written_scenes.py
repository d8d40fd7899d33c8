"""The written lessons: in their form, none of the exam, and turned into the lines of a channel."""

from __future__ import annotations

import random
import re
from statistics import mean

import pytest
from demo.scenes import HELD_OUT, lessons, scene, written
from demo.twenty_chats import CHATS
from roleplay import read_scenes

SCENES = written()
SAID = [{line.partition("> ")[2].lower() for line in lines} for lines in SCENES]
SILENT = ("<anon> /join #", "<anon> /cast ", "<anon> /topic ")


def test_each_line_has_its_answer() -> None:
    for lines in SCENES:
        asked = False
        for line in lines:
            assert re.fullmatch(r"<(anon|user)> \S.*", line), lines
            if line.startswith("<user> "):
                assert asked, lines
            else:
                assert not asked, lines
            asked = line.startswith("<anon> ") and not line.startswith(SILENT)
        assert lines[-1].startswith("<user> "), lines


def test_replies_are_of_a_length_to_talk_with_and_never_the_same() -> None:
    replies = [line[7:] for lines in SCENES for line in lines if line.startswith("<user> ")]
    long = [reply for reply in replies if len(reply.split()) > 3]
    assert 8 < mean(len(reply.split()) for reply in replies) < 11
    assert len({*long}) > 0.98 * len(long)


def test_a_scene_becomes_the_lines_of_a_channel() -> None:
    typed = [
        "<anon> /join #kitchen",
        "<anon> /cast I'm a cook.",
        "<anon> /slap",
        "<user> ow! my soup!",
        "<anon> /me stirs it",
        "<user> slowly, it has feelings",
    ]
    said = [(line.nick, line.content) for line in scene(typed, random.Random(2))]
    assert said[0][1:] == ("/join #kitchen",)
    assert said[1] == ("system", "* Now talking in #kitchen")
    assert said[3:] == [
        ("anon", "/whois user"),
        ("system", "* user's bio: I'm a cook."),
        ("anon", "/slap user"),
        ("system", "* anon slaps user around a bit with a large trout"),
        ("user", "ow! my soup!"),
        ("anon", "/me stirs it"),
        ("system", "* anon used /me stirs it"),
        ("user", "slowly, it has feelings"),
    ]


@pytest.mark.parametrize("line", ["", "<bob> hi", "hi", "<user>"])
def test_another_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is no line of a scene"):
        scene(["<anon> hi", line], random.Random(1))


def test_held_out_scenes_stay_out() -> None:
    extra = [{"messages": [{"role": "anon", "content": "of synth"}]}]
    found, held_out = lessons(20, extra, seed=1)
    assert len(found) == len(SCENES) - HELD_OUT + 20 + 1
    assert extra[0] in found
    assert not [one for one in held_out if one in found]
    assert held_out == lessons(0, [], seed=1)[1]


def test_the_exams_are_not_in_the_lessons() -> None:
    """Neither a subject of a scene of the exam, nor two lines of one of the twenty chats."""
    exam = [one for one in read_scenes() if one.kind not in ("slap", "talk")]
    for one in exam:
        about = [line for line in one.lines if line.startswith("/")] or [one.lines[0]]
        for line in about:
            text = line.lower().removeprefix("/cast ").removeprefix("/topic ")
            assert not [said for said in SAID if any(text in line for line in said)], text
    for chat in CHATS:
        lines = {line.lower() for line in chat}
        subjects = {line for line in lines if re.match("/(cast|topic|me) ", line)}
        assert not [said for said in SAID if len(lines & said) > 1 or subjects & said], chat
