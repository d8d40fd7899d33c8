"""`relay-gguf lmstudio` in this process, and the model that is installed."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from relay_gguf.cli import apps

NAME = "relay-v0.1-Mistral-Nemo-12B-2407-Q4_K_M.gguf"
REPO = "relay-v0.1-Mistral-Nemo-12B-2407-GGUF"


def run(*arguments: str | Path) -> str:
    """What a command prints, on both streams."""
    result = CliRunner().invoke(apps.lmstudio, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output
