"""Fixtures: logs; and a marker for tests that run real IRC clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset.client_logs import LOGS


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clients: runs irssi or WeeChat, if they are installed")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log."""
    path = tmp_path / "#boats.log"
    path.write_text(LOGS["irssi"])
    return path


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A log of 200 conversations."""
    path = tmp_path / "#many.log"
    path.write_text(
        "".join(
            f"2023-11-{1 + n // 20:02} {n % 20:02}:00 <bob> {n}?\n"
            f"2023-11-{1 + n // 20:02} {n % 20:02}:01 <ann> {n}!\n"
            for n in range(200)
        )
    )
    return path
