"""A saved session, played: what is printed in which steps, and as an asciicast."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from fake import fake_session, run
from typer.testing import CliRunner, Result

from relay_gguf.chat import recording
from relay_gguf.cli.app import app
from relay_gguf.folders import sessions_folder

SHOWN = """\
* Now talking in #random
* anon has joined #random
<anon> hi
<user> hello ^[[31myou, how is it
       going there?
<anon> /me waves
* anon waves
<user> a trout?

<anon> /join #boston
* Now talking in #boston
* user has joined #boston
<anon> and now?
<user> well
"""


@pytest.fixture
def saved() -> Path:
    """A saved session of two scenes, with a lazy line and a reply that tries to colour itself."""
    session = fake_session(
        ["hello \x1b[31myou, how is it going there?", "a trout?", "and now?", "well"],
        sessions_folder(),
    )
    run(session, "hi", "/me waves", "/join #boston", "/lazy", "/save tale")
    session.close()
    return sessions_folder() / "tale.jsonl"


def play(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["play", *arguments], catch_exceptions=False)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setenv("COLUMNS", "34")
    return pauses


def test_a_session_is_played_letter_by_letter(saved: Path, slept: list[float]) -> None:
    assert play("tale").stdout == SHOWN
    assert slept.count(recording.LETTER) == len("hi" + "/me waves" + "/join #boston") - 3
    assert slept.count(recording.BEFORE_REPLY) == len(["hello", "trout", "lazy", "well"])
    before = sum(slept)
    slept.clear()
    assert play(str(saved), "--speed", "2").stdout == SHOWN
    assert sum(slept) == pytest.approx(before / 2)
    assert play("tale", "--scene", "2").stdout == SHOWN.partition("\n\n")[2]


def test_an_asciicast_is_the_same_with_its_times(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "tale.cast"
    path.write_text("mine")
    taken = tmp_path / "tale-2.cast"
    assert play("tale", "--asciicast", str(path)).stdout == f"{taken}\n"
    assert path.read_text() == "mine"
    head, *steps = map(json.loads, taken.read_text("utf-8").splitlines())
    assert head == {"version": 2, "width": 80, "height": 24, "title": "#boston"}
    assert [kind for _, kind, _ in steps] == ["o"] * len(steps)
    times = [at for at, _, _ in steps]
    assert times == sorted(times)
    assert times[-1] > times[0] > 0
    text = "".join(text for _, _, text in steps)
    assert "\n" not in text.replace("\r\n", "")
    plain = re.sub(r"\x1b\[\d+m", "", text).replace("\r\n", "\n")
    assert plain == SHOWN.replace("\n       going", " going")
