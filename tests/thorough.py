"""Cases of a test that takes seconds for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def cases(every: Iterable[Any], *default: Any) -> list[Any]:
    """Arguments for `parametrize`: `default` in each run, the others in a thorough one."""
    return [
        case if case in default else pytest.param(case, marks=pytest.mark.thorough)
        for case in every
    ]
