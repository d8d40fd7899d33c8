"""Cases of a test that takes seconds for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def cases(every: Iterable[Any], *default: Any) -> list[Any]:
    """Arguments for `parametrize`: `default` in each run, the others in a thorough one.

    A tuple has a value for each of several arguments.
    """
    return [case if case in default else _thorough(case) for case in every]


def _thorough(case: Any) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.thorough)
