"""The one line that a refused command ends with, and how soon it must come."""

from __future__ import annotations

import time

import pytest

from relay_gguf.cli import app as cli

PATIENCE = 5.0
"""Seconds: nobody waits longer without a word."""


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command ends with; it must come soon."""
    began = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments])
    assert time.monotonic() - began < PATIENCE
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("relay-gguf: ")
    assert said.err.count("\n") == 1
    return said.err
