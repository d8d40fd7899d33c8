"""`relay-gguf ollama modelfile` in this process, and the model that it is for."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from relay_gguf.cli import apps

NAME = "relay-smollm2-135m-Q4_K_M.gguf"


def run(*arguments: str | Path) -> tuple[str, str]:
    """What the command prints, on each stream."""
    result = CliRunner().invoke(apps.ollama, ["modelfile", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr
