"""Fixtures: a worker that lends a part of the CPU's memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lent import Lent, lend


@pytest.fixture(scope="module")
def worker() -> Iterator[Lent]:
    """One that lends 3 GiB of the CPU."""
    with lend("--memory", "3G") as found:
        yield found
