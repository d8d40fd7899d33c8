"""Where scenes end: each rule on text that comes in pieces of any size."""

from __future__ import annotations

import numpy as np
import pytest

from relay_gguf.conversation.messages import Message
from relay_gguf.synth.line_start import LineStart
from relay_gguf.synth.stop_rules import NATURAL, SceneLimits, SceneText

END = 256
PIECES = [bytes([n]) for n in range(256)] + [b""]
STARTS = LineStart(PIECES, [END])


def scene(starter: str = "", opens: str = "<anon>", **limits: int) -> SceneText:
    return SceneText(
        PIECES.__getitem__, STARTS, SceneLimits(**limits), starter=starter, opens=opens
    )


def sampled(text: str, found: SceneText) -> SceneText:
    """Bytes one by one, until the scene ends; then the engine's own end."""
    for byte in text.encode():
        found.scored(-1.0)
        if found.until(byte):
            break
    found.finish("stop")
    return found


TALK = "<anon> hi there\n<user> hello, who are you\n<anon> a friend\n<user> good to know\n"


@pytest.mark.parametrize(
    ("more", "end"),
    [
        ("", "end of text"),
        ("\n<anon> another scene", "empty line"),
        ("   \n", "empty line"),
        ("* Now talking in #boats\n", "next scene"),
        ("* <anon> has joined the room\n", "next scene"),
        ("* anon has left #boats\n", "left"),
        ("* user has quit (bye)\n", "left"),
        ("<bob> and me", "third nick"),
        ("<anonymous> hi\n", "third nick"),
        ("* bob has joined #boats\n", "notice"),
        ("* Topic for #boats is: hats\n", "notice"),
        ("* anon is now known as bob\n", "notice"),
        ("Once upon a time\n", "not IRC"),
        ("<user>\n", "not IRC"),
        ("<user> a\n<user> b\n<user> c\n", "monologue"),
        ("<anon> Hello, who are you?\n", "loop"),
        ("<anon> hello, who are you a\n", "loop"),
        ("<anon> ok\n<user> ok\n<anon> OK!\n", "loop"),
        ("<anon> " + "x" * 401, "long line"),
    ],
)
def test_each_rule_ends_a_scene(more: str, end: str) -> None:
    found = sampled(TALK.removeprefix("<anon>") + more, scene())
    assert found.end == end
    assert found.text.splitlines()[:4] == TALK.splitlines()
    assert found.text.splitlines()[-1].startswith("<user>")
    assert (end in NATURAL) is (end in {"end of text", "empty line", "next scene", "left"})


def test_nothing_is_sampled_after_the_end() -> None:
    """A nick that is neither of the two is known by its first wrong letter."""
    found = scene()
    text = TALK.removeprefix("<anon>") + "<ux"
    assert [found.until(byte) for byte in text.encode()].index(True) == len(text) - 1


def test_lines_after_the_models_last_are_left_out() -> None:
    found = sampled(" hello\n<anon> one\n<anon> two\n\n", scene("hi", "<user>"))
    assert found.text == "<anon> hi\n<user> hello"
    assert sampled(" just me\n\n", scene()).text == ""


def test_actions_are_what_a_channel_shows() -> None:
    found = sampled(" hello\n* anon waves\n* user waves back, twice\n\n", scene("hi", "<user>"))
    assert found.lines[2:] == [
        Message("anon", "/me waves"),
        Message("user", "/me waves back, twice"),
    ]
    assert found.text.splitlines()[-1] == "* user waves back, twice"


def test_the_limits_end_a_scene() -> None:
    lines = "".join(f"<{nick}> {'word' * n}\n" for n in range(1, 9) for nick in ("user", "anon"))
    assert sampled(lines.removeprefix("<user>"), scene("hi", "<user>", max_lines=6)).end == "lines"
    found = scene()
    found.finish("length")
    assert found.end == "tokens"
    found = scene()
    found.finish("context")
    assert found.end == "context"


def test_the_last_line_counts_if_the_text_ends_there() -> None:
    found = sampled(" hello\n<anon> and\n<user> that is it", scene("hi", "<user>"))
    assert found.text.splitlines()[-1] == "<user> that is it"
    found = scene("hi", "<user>")
    for byte in b" hello\n<anon> and\n<user> cut he":
        found.until(byte)
    found.finish("length")  # this one was cut
    assert found.text == "<anon> hi\n<user> hello"


def test_characters_may_come_in_parts_and_broken() -> None:
    found = sampled(" grüße 🐟\n\n", scene("hi", "<user>"))
    assert found.text.endswith("<user> grüße 🐟")
    broken = scene("hi", "<user>")
    for byte in b" \xff\xfe ok\n\n":
        broken.until(byte)
    assert broken.text.endswith("<user> \ufffd\ufffd ok")


def test_tokens_and_their_likelihood_are_counted() -> None:
    found = sampled(" hello\n\n", scene("hi", "<user>"))
    assert (found.n_tokens, found.logprob) == (8, -1.0)
    assert scene().logprob == 0.0


def test_a_young_scene_cannot_end_and_has_no_other_lines() -> None:
    found = scene("hi", "<user>")

    def allowed() -> set[str]:
        logits = np.zeros(257, np.float32)
        found.look(logits)
        left = np.flatnonzero(np.isfinite(logits)).tolist()
        if len(left) < 256:
            return {chr(n) for n in left if n < 128}
        return {"text"} if len(left) < 257 else {"all"}

    assert "\n" not in allowed()  # nothing is said yet
    for byte in b" hello":
        found.until(byte)
    assert allowed() == {"text"}  # all but the end of the text
    found.until(ord("\n"))
    assert allowed() == {"<"}
    found.until(ord("<"))
    assert allowed() == {"a", "u"}
    for byte in b"user> and you\n<anon> fine\n<anon> good\n":
        found.until(byte)
    assert allowed() == {"<"}  # five lines, but only three turns
    for byte in b"<user> good\n":
        found.until(byte)
    assert allowed() == {"all"}
    found = scene()
    for byte in b" one\n<anon> two\n<anon> three\n<":
        found.until(byte)
    assert allowed() == {"u"}  # three in a row are enough


def test_a_vocabulary_that_cannot_write_a_nick_is_left_alone() -> None:
    starts = LineStart([b"x", b"y", b""], [2])
    assert starts.barred("").tolist() == [2]
