"""Fixtures: a made-up machine on which loads are watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from watched_loads import Watched


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """No model may be left when a test is over."""
    found = Watched(monkeypatch)
    yield found
    assert found.n_freed == 0, "each model freed, once"
