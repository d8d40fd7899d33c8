"""`relay-gguf upload` and `relay-gguf card`, as they are typed, without a hub."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import typer
from published_folders import Folder, readme
from typer.testing import CliRunner
from uploads import NAMES, Sender

from relay_gguf.cli.convert.publish import card as card_command
from relay_gguf.cli.convert.publish import upload as upload_command
from relay_gguf.errors import ModelError, RelayError, SettingsError
from relay_gguf.hub import api as hub

APP = typer.Typer()
APP.command()(card_command)
APP.command()(upload_command)


class FakeHub:
    """Stands for relay_gguf.hub.api."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: Any = None
        self.send = Sender()
        monkeypatch.setattr(hub, "remote", self.remote, raising=False)
        monkeypatch.setattr(hub, "send", self.send, raising=False)

    def remote(self, repo: str) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Found:
    """A repository that is there."""

    def __init__(self, private: bool, digests: Mapping[str, str]) -> None:
        self.private = private
        self.digests = digests


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    return FakeHub(monkeypatch)


def run(*arguments: str | Path, given: str = "") -> str:
    done = CliRunner().invoke(APP, [str(argument) for argument in arguments], input=given)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_dry_run_sends_nothing(ready: Path, fake: FakeHub) -> None:
    printed = run("upload", ready, "o/r", "--dry-run")
    assert printed.splitlines()[-1].startswith("Would send 8 files, ")
    assert printed.endswith(" KB to o/r, public.\n")
    assert run("upload", ready, "o/r", "--dry-run", "--private").endswith("o/r, private.\n")
    assert fake.send.said is None


def test_a_dry_run_does_not_need_the_hub(ready: Path, fake: FakeHub) -> None:
    fake.found = hub.UnreachableError("The hub is offline.")
    printed = run("upload", ready, "o/r", "--dry-run")
    assert printed.startswith("The hub cannot be asked which of these files it has.\n")
    assert "Would send 8 files" in printed
    with pytest.raises(ModelError, match="The hub is offline"):
        run("upload", ready, "o/r", "--yes")
    assert fake.send.said is None


def test_an_upload_tells_the_commit(ready: Path, fake: FakeHub) -> None:
    printed = run("upload", ready, "o/r", "--yes", "--private")
    assert printed.endswith("\nhttps://hub/o/r/commit/1\n")
    assert list(fake.send.sent) == NAMES
    digests = {name: sha256(data).hexdigest() for name, data in fake.send.sent.items()}
    fake.found = Found(True, digests)
    fake.send.said = None
    assert run("upload", ready, "o/r", "--yes").endswith("\no/r has all of it.\n")
    assert fake.send.said is None


@pytest.mark.parametrize(
    ("arguments", "found", "error", "message"),
    [
        (["o"], None, SettingsError, "'o' is not the name of a repository: "),
        (["o/r:Q8_0"], None, SettingsError, "'o/r:Q8_0' is not the name of a repository: "),
        (["./o/r"], None, SettingsError, "'./o/r' is not the name of a repository: "),
        (["o/r"], None, SettingsError, "There is no terminal to ask whether to send: give --yes"),
        (["o/r", "--private", "--yes"], Found(False, {}), ModelError, "o/r exists and is public."),
    ],
)
def test_an_upload_that_cannot_be_is_refused(
    arguments: list[str],
    found: Found | None,
    error: type[RelayError],
    message: str,
    ready: Path,
    fake: FakeHub,
) -> None:
    fake.found = found
    with pytest.raises(error) as raised:
        run("upload", ready, *arguments)
    assert str(raised.value).startswith(message)
    assert fake.send.said is None


@pytest.mark.parametrize(("answer", "sent"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_a_person_is_asked_before_anything_is_sent(
    answer: str, sent: bool, ready: Path, fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_gguf.cli.convert.publish._can_ask", lambda: True)
    printed = run("upload", ready, "o/r", given=answer)
    assert "KB to o/r, public? [y/N]: " in printed
    assert (fake.send.said is not None) == sent
    assert printed.endswith("Nothing was sent.\n") != sent


def test_the_card_command_writes_the_folder_anew(folder: Folder) -> None:
    out = folder("Q8_0")
    assert run("card", out) == f"{out} has SHA256SUMS, lm_studio_preset.json, README.md.\n"
    run("card", out, "--repo", "o/r")
    assert "relay-gguf chat o/r:Q8_0" in readme(out)
    with pytest.raises(SettingsError, match="'o' is not the name of a repository"):
        run("card", out, "--repo", "o")
