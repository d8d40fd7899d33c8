"""Files to install, an app's folder, and steps that fail or stop there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay_gguf.apps.installed import InstallResult, WantedFile, install, uninstall

NAMES = ("r-00001-of-00002.gguf", "r-00002-of-00002.gguf")


class Machine:
    """Files to install, an app's folder with a file of someone else, and the manifest."""

    def __init__(self, folder: Path, names: tuple[str, ...], copy: bool = False) -> None:
        self.sources = [folder / "mine" / name for name in names]
        self.app = folder / "app"
        self.theirs = self.app / "their" / "x.gguf"
        self.manifest = folder / "data" / "m.json"
        self.copy = copy
        self.wanted = [
            WantedFile(self.app / "p" / "r" / s.name, s, n_folders=2) for s in self.sources
        ]
        self.wanted.append(WantedFile(self.app / "presets" / "ours.json", b"{}", optional=True))

    def start(self, content: bytes = b"old", *, anew: bool = True) -> None:
        """Make the files, and with `anew` nothing is installed."""
        if anew:
            shutil.rmtree(self.app, ignore_errors=True)
            shutil.rmtree(self.manifest.parent, ignore_errors=True)
            self.theirs.parent.mkdir(parents=True)
            self.theirs.write_bytes(b"theirs")
        for number, source in enumerate(self.sources):
            source.parent.mkdir(exist_ok=True)
            source.unlink(missing_ok=True)
            source.write_bytes(content * (number + 1))

    def install(self) -> list[InstallResult]:
        return install(self.wanted, self.manifest, copy=self.copy)

    def uninstall(self) -> None:
        uninstall([item.path for item in self.wanted], self.manifest)

    def files(self) -> dict[str, bytes]:
        """What the app's folder holds besides the file of someone else."""
        assert self.theirs.read_bytes() == b"theirs"
        found = [path for path in self.app.rglob("*") if path.is_file() and path != self.theirs]
        return {path.name: path.read_bytes() for path in found}

    def expected(self) -> dict[str, bytes]:
        """What it holds when all is installed."""
        return {source.name: source.read_bytes() for source in self.sources} | {"ours.json": b"{}"}


STEPS: list[tuple[Any, str]] = [
    *((Path, name) for name in ("mkdir", "unlink", "replace", "rmdir")),
    *((os, name) for name in ("link", "utime", "fsync")),
]


def failing(
    patch: pytest.MonkeyPatch, count: int, error: BaseException, *, once: bool
) -> list[str]:
    """After `count` steps each further one fails, or just the next. Lists those that did."""
    done = iter(range(count))
    failed: list[str] = []

    def step(original: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: Any, **options: Any) -> Any:
            if next(done, None) is None and not (once and failed):
                failed.append(original.__name__)
                raise error
            return original(*arguments, **options)

        return take

    for place, name in STEPS:
        patch.setattr(place, name, step(getattr(place, name)))
    return failed
