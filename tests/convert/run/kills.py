"""Kills while the finished files get their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conversions import converted

from relay_gguf.convert.request import Request
from relay_gguf.convert.write.journal import Journal
from relay_gguf.convert.write.output import Output


class KilledError(BaseException):
    """Stands for a kill: nobody catches it."""


Kill = Callable[[pytest.MonkeyPatch], None]


def before_the_second_name(monkeypatch: pytest.MonkeyPatch) -> None:
    original, count = Output.publish, 0

    def publish(self: Output) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KilledError
        original(self)

    monkeypatch.setattr(Output, "publish", publish)


def after_the_first_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the journal knows of it."""
    original = Output.publish

    def publish(self: Output) -> None:
        original(self)
        raise KilledError

    monkeypatch.setattr(Output, "publish", publish)


def at_the_very_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(self: Journal) -> None:
        raise KilledError

    monkeypatch.setattr(Journal, "remove", remove)


def killed(wanted: Request, out: Path, kill: Kill) -> list[str]:
    """Convert until the kill; the files that have their names then."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch)
        with pytest.raises(KilledError):
            converted(wanted, out)
    return sorted(path.name for path in out.glob("*.gguf"))


KILLS = {before_the_second_name: 1, after_the_first_name: 1, at_the_very_end: 3}
