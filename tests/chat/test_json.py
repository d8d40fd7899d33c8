"""The chat as JSON objects, one a line."""

from __future__ import annotations

import io
import json
from pipes import output
from typing import Any

from fake import fake_session

from relay_gguf.chat.plain import run_plain
from relay_gguf.conversation.session import Session

HEAD = (
    "<s><|im_start|>user\n/join #random<|im_end|>\n"
    "<|im_start|>system\n* Now talking in #random<|im_end|>\n"
    "<|im_start|>system\n* anon has joined #random<|im_end|>\n"
)


def objects(session: Session, typed: str) -> list[dict[str, Any]]:
    """What a chat writes with --json."""
    return [json.loads(line) for line in output(session, typed, as_json=True).split("\n")[:-1]]


def said(nick: str, content: str, tokens: int, **other: bool) -> dict[str, Any]:
    """A message as an object."""
    fields = {"event": "message", "nick": nick, "content": content, "tokens": tokens}
    return {**fields, "generated": False, "cut": False, **other}


def prompt(nick: str, text: str, evaluated: int, reused: int) -> dict[str, Any]:
    """A prompt as an object."""
    fields = {"event": "prompt", "nick": nick, "text": text}
    return {**fields, "evaluated": evaluated, "reused": reused}


def test_a_chat_is_written_as_objects() -> None:
    session = fake_session(["Ahoy! \x1b[2J 漢字", "Well?"])
    asked = f"{HEAD}<|im_start|>anon\nhello<|im_end|>\n<|im_start|>user\n"
    silent = (
        f"{asked}Ahoy! \x1b[2J 漢字<|im_end|>\n"
        "<|im_start|>anon\n/whois user<|im_end|>\n"
        "<|im_start|>system\n* user's bio: a sailor<|im_end|>\n"
        "<|im_start|>anon\n...<|im_end|>\n<|im_start|>user\n"
    )
    assert objects(session, "hello\n/cast a sailor\n\n/join\n/quit\n") == [
        said("anon", "hello", 13),
        prompt("user", asked, 110, 0),
        said("user", "Ahoy! \x1b[2J 漢字", 17, generated=True),
        said("anon", "/whois user", 19),
        said("system", "* user's bio: a sailor", 32),
        said("anon", "...", 11),
        prompt("user", silent, 70, 127),
        said("user", "Well?", 5, generated=True),
        {"event": "notice", "text": "* Invalid: Missing channel name."},
    ]


def test_commands_about_the_last_turn_are_written_as_objects() -> None:
    session = fake_session(["I would say that", " it", "two"], max_tokens=11)
    asked = f"{HEAD}<|im_start|>anon\nhi<|im_end|>\n<|im_start|>user\n"
    assert objects(session, "hi\n/continue\n/retry\n/undo\n") == [
        said("anon", "hi", 10),
        prompt("user", asked, 107, 0),
        said("user", "I would say", 11, generated=True, cut=True),
        prompt("user", f"{asked}I would say", 1, 117),
        said("user", "I would say it", 3, generated=True),
        {"event": "notice", "text": "* user's reply is replaced (2/2), /prev brings it back:"},
        prompt("user", asked, 1, 106),
        said("user", "two", 3, generated=True),
        {"event": "notice", "text": "* Took back: hi"},
        {"event": "draft", "text": "hi"},
    ]


def test_a_line_that_is_too_long_is_an_error_and_a_draft() -> None:
    failed, draft = objects(fake_session(n_ctx=200), "x" * 300)
    assert failed["event"] == "error"
    assert "398 tokens" in failed["text"]
    assert draft == {"event": "draft", "text": "x" * 300}


def test_each_object_is_one_line_whatever_is_said() -> None:
    reply = "one\ntwo\r\x0b\x0c\x85\u2028\u2029"
    lines = output(fake_session([reply]), "count\n", as_json=True).split("\n")
    assert [json.loads(line)["event"] for line in lines[:-1]] == ["message", "prompt", "message"]
    assert json.loads(lines[2])["content"] == reply


def test_pieces_are_objects_when_that_is_asked() -> None:
    session = fake_session(["hé"])
    out = io.StringIO()
    run_plain(session, [], io.StringIO("hi\n"), out, as_json=True, stream=True)
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "message",
        "typing",
        "prompt",
        "piece",
        "piece",
        "message",
    ]
    assert events[1] == {"event": "typing", "nick": "user", "opening": "", "draft": False}
    assert "".join(e["text"] for e in events if e["event"] == "piece") == "hé"
    assert "piece" not in output(fake_session(["hé"]), "hi\n", as_json=True)


def test_several_replies_are_objects() -> None:
    session = fake_session(["Ahoy.", "Aye.", "Well?"])
    told = [
        {k: one[k] for k in one.keys() & {"event", "number", "content", "standing", "count"}}
        for one in objects(session, "hello\n/retry 2\n")
        if one["event"] in ("alternative", "offered")
    ]
    assert told == [
        {"event": "alternative", "number": 2, "content": "Aye."},
        {"event": "alternative", "number": 3, "content": "Well?"},
        {"event": "offered", "standing": 1, "count": 3},
    ]


def test_with_stream_a_piece_names_its_row() -> None:
    session, out = fake_session(["Ahoy.", "A"]), io.StringIO()
    run_plain(session, (), io.StringIO("hello\n/retry 2\n"), out, as_json=True, stream=True)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["row"] for one in told if one["event"] == "piece" and "row" in one] == [0, 1, 1]
