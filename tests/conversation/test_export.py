"""A scene in each format, as a whole file."""

from __future__ import annotations

import stat
import sys
import time
from pathlib import Path

import pytest
from fake import fake_session, run

from relay_gguf.conversation.events import Notice
from relay_gguf.conversation.export import FORMATS, write
from relay_gguf.conversation.messages import NICKS, Message, join

NOON = 1_700_049_600.0  # 2023-11-15 12:00:00 UTC
SCENE = [
    *((NOON, line) for line in join(NICKS, "model", "café")[1:]),
    (NOON + 60, Message("anon", "hi *you*\nsecond line")),
    (NOON + 86_400, Message("user", "naïve")),
]

FILES = {
    "txt": """\
* Now talking in #café
* anon has joined #café
<anon> hi *you*
second line
<user> naïve
""",
    "md": """\
# #café

With model\\_Q4.

*Now talking in \\#café*

*anon has joined \\#café*

**anon**: hi \\*you\\*{}
second line

**user**: naïve

""".format("  "),  # Markdown's line break
    "irssi": """\
--- Log opened Wed Nov 15 12:00:00 2023
12:00 -!- Now talking in #café
12:00 -!- anon has joined #café
12:01 < anon> hi *you*
12:01 < anon> second line
--- Day changed Thu Nov 16 2023
12:00 < user> naïve
""",
    "weechat": """\
2023-11-15 12:00:00\t--\tNow talking in #café
2023-11-15 12:00:00\t--\tanon has joined #café
2023-11-15 12:01:00\tanon\thi *you*
2023-11-15 12:01:00\tanon\tsecond line
2023-11-16 12:00:00\tuser\tnaïve
""",
    "jsonl": """\
{"role": "system", "content": "* Now talking in #café", "model": "model_Q4"}
{"role": "system", "content": "* anon has joined #café", "model": "model_Q4"}
{"role": "anon", "content": "hi *you*\\nsecond line", "model": "model_Q4"}
{"role": "user", "content": "naïve", "model": "model_Q4"}
""",
}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("style", "line"),
    [
        ("irssi", "12:00  * bob waves"),
        ("weechat", "2023-11-15 12:00:00\t *\tbob waves"),
    ],
)
def test_an_action_is_written_as_the_client_writes_it(
    style: str, line: str, tmp_path: Path
) -> None:
    said = [
        (NOON, Message("bob", "/me waves")),
        (NOON, Message("system", "* bob used /me waves")),
    ]
    path = write(said, style, tmp_path, channel="c", model="m", now=NOON)
    assert path.read_text("utf-8").splitlines()[-1] == line


@pytest.mark.parametrize("style", FILES)
def test_a_scene_is_written_in_each_format(style: str, tmp_path: Path) -> None:
    path = write(SCENE, style, tmp_path, channel="café", model="model_Q4", now=NOON)
    assert path.read_text("utf-8") == FILES[style]
    assert path.name == f"relay-café-20231115-120000{FORMATS[style][0]}"


@pytest.mark.parametrize(
    ("channel", "name"), [("r/place", "r-place"), ("../../x", "x"), ("  ", "channel")]
)
def test_channel_names_become_file_names(channel: str, name: str, tmp_path: Path) -> None:
    path = write([], "txt", tmp_path, channel=channel, model="m", now=NOON)
    assert path.parent == tmp_path
    assert path.name == f"relay-{name}-20231115-120000.txt"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    names = [write([], "txt", tmp_path, channel="c", model="m", now=NOON).name for _ in range(3)]
    assert names == [
        "relay-c-20231115-120000.txt",
        "relay-c-20231115-120000-2.txt",
        "relay-c-20231115-120000-3.txt",
    ]


def test_scenes_before_a_join_are_exported_too(tmp_path: Path) -> None:
    session = fake_session(["one", "two", "three"], exports=tmp_path)
    run(session, "first", "/join #boston", "second", "/reset", "third")
    _, hint = [e.text for e in run(session, "/export") if isinstance(e, Notice)]
    assert hint == "* This is the scene since the last /join; /export all has the 2 before it too."
    run(session, "/export txt all", "/export 2 md")
    texts = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    (every,) = [text for name, text in texts.items() if name.endswith(".txt")]
    assert [line for line in every.splitlines() if not line.startswith(("*", "<user> /"))] == [
        "<anon> first",
        "<user> one",
        "<anon> /join #boston",
        "<anon> second",
        "<user> two",
        "<anon> third",
        "<user> three",
    ]
    (second,) = [text for name, text in texts.items() if name.endswith(".md")]
    assert second.startswith("# #boston")
    assert "third" not in second
    (refused,) = [e.text for e in run(session, "/export 4") if isinstance(e, Notice)]
    assert refused == "* There is no scene 4. This session has 3."


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of Unix")
def test_an_export_is_as_private_as_the_session(tmp_path: Path) -> None:
    session = fake_session(exports=tmp_path)
    run(session, "secret", "/export txt")
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
