"""A fixture: `relay-gguf convert` up to its types."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversions import Pair


@pytest.fixture
def convert(
    pico_mistral: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[object, ...]:
    """The command up to its types, its files going to `out` in the current folder."""
    monkeypatch.chdir(tmp_path)
    options = ("--adapter", pico_mistral.adapter, "--pre", "smollm", "--out", "out")
    return ("convert", pico_mistral.base, *options, "--threads", 2, "--template", "keep")
