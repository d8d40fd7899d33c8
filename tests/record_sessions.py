"""Records session files for `golden/sessions`, and what a program made of them.

    python tests/record_sessions.py FOLDER

It runs on the code of any version, that of 700e3cb among them, with which the files in
`golden/sessions` were written: `PYTHONPATH` names its source tree and that tree's `tests`.
`expected.json` tells how that version read each file, exported it and went on with it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fake import engine_of, fake_session, run

from relay_gguf import Message
from relay_gguf.chat.plain import event_json
from relay_gguf.conversation.events import Event
from relay_gguf.conversation.session import Session

STYLES = ("jsonl", "txt", "md", "irssi", "weechat")
"""Formats that other programs read; how a page looks may change."""
CONTINUED = ("/retry", "and now?", "/edit //and then?", "/undo", "/prev", "/context")
"""Lines that are typed into each session once it was resumed."""


@dataclass(frozen=True, slots=True)
class Chat:
    """What was typed into a session, lines with a | between them, and what the model wrote."""

    lines: str
    replies: tuple[str | bytes, ...]
    n_ctx: int = 1 << 20
    max_tokens: int = 128
    vocabulary: str = "bytes"


CHATS = {
    "scenes": Chat(
        "hi|/topic the sea|/join #café|/cast I'm a pirate|/slap|//etc/hosts|/dance wildly||"
        "/reset|naïve",
        ("héllo", "ouch", "a path?", "* dances", "…", "ça va\nbien"),
    ),
    "retries": Chat(
        "one|/retry|/retry|/prev|two|/retry|/prev|/next|three|/retry",
        ("a", "b", "c", "d", "e", "f", "g"),
    ),
    "edits": Chat(
        "one|/edit uno|two|/undo|/slap|/edit /dance|three|/undo|/undo|/lazy I dream|/lazy|"
        "/edit something else|/join #x|/undo|last",
        ("a", "b", "c", "d", "e", "f", " of rain", "g", "h", "i", "j", "k"),
    ),
    "cut": Chat(
        "hi|/continue|/retry|again|/continue|/continue",
        (b"ab\xc3\xa9\xc3\xa9", b"\xa9 and more", b"ab\xc4\x81", b"0123456789", b"abc", b"."),
        max_tokens=3,
    ),
    "full": Chat(
        "/topic old|/cast a sailor|/topic new|"
        f"{'|'.join(f'message number {n}' for n in range(16))}|"
        "/retry|/undo|/edit other words|/undo|/undo",
        ("x" * 40,) * 30,
        n_ctx=700,
        max_tokens=60,
    ),
    "other-model": Chat("hi|/retry|there", ("one", "two", "three"), vocabulary="others"),
}


def record(folder: Path) -> None:
    """Write session files, and into `expected.json` what comes of each.

    They are those of the chats, one of an IRC channel, and one whose last line was cut off.
    """
    for name, chat in CHATS.items():
        session = fake_session(
            chat.replies,
            folder,
            n_ctx=chat.n_ctx,
            max_tokens=chat.max_tokens,
            vocabulary=chat.vocabulary,
        )
        run(session, *chat.lines.split("|"), f"/save {name}")
        session.close()
    session = fake_session(["aye", "a sail"], folder)
    for events in (
        session.enter("lisbon"),
        session.hear("/me waves"),
        session.hear("anyone?"),
        session.reply(),
        session.submit("/topic ships"),
        session.add("/topic -delete", Message("anon", "/topic -delete")),
        session.hear("what do you see?"),
        session.reply(),
        session.submit("/save channel"),
    ):
        deque(events, maxlen=0)
    session.close()
    torn = (folder / "retries.jsonl").read_bytes() + b'{"event": "turn", "line": "killed wh'
    (folder / "torn.jsonl").write_bytes(torn)
    found = {path.stem: outcome(path) for path in sorted(folder.glob("*.jsonl"))}
    text = json.dumps(found, ensure_ascii=False, indent=1)
    (folder / "expected.json").write_text(text + "\n", "utf-8")


def outcome(path: Path) -> dict[str, Any]:
    """What comes of a session file that is resumed, exported and gone on with.

    The file itself is left alone. Exports name hours in the local time zone. Each id of a prompt
    is a character.
    """
    chat = CHATS.get(path.stem, CHATS["retries"])
    with TemporaryDirectory() as held:
        folder, exports = Path(held, "sessions"), Path(held, "exports")
        folder.mkdir()
        exports.mkdir()
        shutil.copy(path, folder)
        session = fake_session(
            ["more", "and more"] * 9,
            folder,
            n_ctx=chat.n_ctx,
            max_tokens=chat.max_tokens,
            exports=exports,
        )
        resumed = as_json(session.resume(path.stem))
        opened = state(session)
        run(session, *(f"/export {style}" for style in STYLES))
        events = run(session, *CONTINUED)
        session.close()
        written = (folder / path.name).read_bytes()[path.read_bytes().rfind(b"\n") + 1 :]
        return {
            "resumed": resumed,
            "state": opened,
            "exports": {file.suffix: file.read_text("utf-8") for file in exports.iterdir()},
            "continued": as_json(events),
            "state at the end": state(session),
            "prompts": ["".join(map(chr, ids)) for ids in engine_of(session).prompts],
            "appended": [without_time(line) for line in written.decode("utf-8").splitlines()],
        }


def state(session: Session) -> dict[str, Any]:
    """A session's place, and what the model sees."""
    transcript = session.transcript
    return {
        "channel": transcript.channel,
        "topic": transcript.topic,
        "bio": transcript.bio,
        "tokens": session.status.tokens,
        "context": [f"{message.nick}: {message.content}" for message in transcript.context],
    }


def as_json(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Events as `--json` writes them."""
    return [fields for fields in map(event_json, events) if fields]


def without_time(line: str) -> dict[str, Any]:
    """A record's fields, but for the time of a header, which is no session's clock."""
    fields: dict[str, Any] = json.loads(line)
    if fields["event"] == "session":
        del fields["time"]
    return fields


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    record(Path(sys.argv[1]))
