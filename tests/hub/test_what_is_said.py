"""What is said when the hub, the way to it, or its cache's disk fails: the cause, in a line."""

from __future__ import annotations

import errno
import os
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from threading import Event

import pytest
from hub_server import Handler

from relay_gguf.errors import ModelError
from relay_gguf.hub import api as hub
from relay_gguf.hub.api import UnreachableError, _asked_wait
from relay_gguf.hub.intake import Fetched, Intake, StoppedError
from relay_gguf.hub.repo import RepoFolder


def test_a_folder_that_is_not_in_the_cache_tells_why_it_cannot_be_fetched(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's library says "not on the local disk" whatever the reason was."""
    with pytest.raises(UnreachableError, match=r"^The hub answered 500 for o/broken\. Try"):
        hub.snapshot(RepoFolder("o/broken"), ["*.json"])
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match=r"^Cannot reach the hub for o/r: .*refused"):
        hub.snapshot(RepoFolder("o/r"), ["*.json"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnreachableError, match=r"^o/r is not in the cache, and the hub is offline"):
        hub.snapshot(RepoFolder("o/r"), ["*.json"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_cache_that_cannot_be_written_is_not_a_hub_that_cannot_be_reached(
    number: int, server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> str:
        raise OSError(number, os.strerror(number), "/cache/x" if number == errno.EACCES else None)

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    said = rf"^Cannot write to the hub's cache in .*: {os.strerror(number)}\. HF_HOME names another"
    with pytest.raises(ModelError, match=said) as failed:
        hub.snapshot(RepoFolder("o/r"), ["*.json"])
    assert not isinstance(failed.value, UnreachableError)


def test_a_name_that_no_repository_can_have(server: type[Handler]) -> None:
    for ask in (hub.remote, lambda name: hub.snapshot(RepoFolder(name), ["*.json"])):
        with pytest.raises(ModelError, match=r"no repository o/a--b on the hub") as failed:
            ask("o/a--b")
        assert not isinstance(failed.value, UnreachableError)
    assert server.requests == []


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *(("7", 7.0), ("99999", 600.0), ("", 0.0), ("soon", 0.0)),
        *(("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2099 07:28:00 GMT", 600.0)),
    ],
)
def test_retry_after_may_be_seconds_or_a_date(said: str, seconds: float) -> None:
    assert _asked_wait({"Retry-After": said}) == seconds
    later = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), usegmt=True)
    assert 60 < _asked_wait({"Retry-After": later}) <= 90


def test_the_hub_itself_tells_when_its_limit_begins_anew() -> None:
    assert _asked_wait({"RateLimit": '"resolvers";r=0;t=55'}) == 55.0
    assert _asked_wait({"RateLimit": '"resolvers";r=0;t=55', "Retry-After": "7"}) == 7.0
    assert _asked_wait({"RateLimit": '"resolvers";r=4;t=55'}) == 0.0


def test_the_rate_and_what_is_told_of_waits() -> None:
    now, said = [0.0], list[str]()
    intake = Intake(said.append, clock=lambda: now[0])
    intake.begin(4000)
    stopped = Event()
    stopped.set()
    for second in range(1, 31):
        now[0] = second
        intake.add(100)
    assert intake.fetched == Fetched(3000, 4000, 100.0)
    for _ in range(8):  # as many connections
        with pytest.raises(StoppedError):
            intake.pause(4.0, "The hub answered 503 for x. Try again later.", stopped)
    assert said == ["The hub answered 503 for x. Trying again in 4 s."]
    now[0] += 4
    intake.add(1)
    intake.add(1)
    assert said[1:] == ["The hub answers again."]
