"""Fixtures: a hub on loopback with one repository, and its folder in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from downloads import REPO
from hub_server import Handler, serving

from relay_gguf.hub import download as hub_download


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    """The hub, whose breaks are not waited for; the cache is empty."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(hub_download, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(hub_download, "LOOK_AGAIN", 0.05)
    with serving({"o/r": REPO}, monkeypatch, str(tmp_path / "hf")) as handler:
        yield handler


@pytest.fixture
def folder(server: type[Handler], tmp_path: Path) -> Path:
    """The repository's folder in the cache."""
    return tmp_path / "hf" / "hub" / "models--o--r"
