"""Fixtures: what a test was told of this machine is forgotten behind it."""

from __future__ import annotations

import pytest

from relay_gguf.doctor import verdict as kept


@pytest.fixture(autouse=True)
def _as_found() -> object:
    yield
    kept.verdict.cache_clear()
