"""Fixtures: users with LM Studio's folder and without."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user who never started LM Studio."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setattr(Path, "home", lambda: folder)
    return folder


@pytest.fixture
def home(user: Path) -> Path:
    """LM Studio's folder."""
    folder = user / ".lmstudio"
    folder.mkdir()
    return folder
