"""Session files that an earlier version wrote: read, exported and gone on with as it did.

`golden/sessions` was recorded by `record_sessions.py` on the code of 700e3cb: scenes, replies
tried again, edits, replies that were cut, a context that was full, another model's vocabulary, an
IRC channel, a last line that was cut off. What that version made of each stands beside them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from record_sessions import outcome

from relay_gguf.conversation.records import decode

FOLDER = Path(__file__).parents[2] / "golden" / "sessions"
EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))
ACTIONS = {
    ".log": ("22:13 < anon> /me waves", "22:13  * anon waves"),
    ".weechatlog": ("\tanon\t/me waves", "\t *\tanon waves"),
}
"""What that version exported and what is exported now: actions as irssi and WeeChat write them."""


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_session_of_the_version_before_goes_on_as_it_did_there(name: str) -> None:
    expected = EXPECTED[name]
    for suffix, (before, now) in ACTIONS.items():
        expected["exports"][suffix] = expected["exports"][suffix].replace(before, now)
    assert outcome(FOLDER / f"{name}.jsonl") == expected


def test_the_recorded_sessions_hold_every_kind_of_record() -> None:
    records = {
        type(record).__name__
        for name in EXPECTED
        for record, _ in decode((FOLDER / f"{name}.jsonl").read_bytes(), FOLDER).entries
    }
    assert records == {"Turned", "Answered", "Chose", "Undone", "Forgot"}
