"""A marker for tests that run real IRC clients."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clients: runs irssi or WeeChat, if they are installed")
