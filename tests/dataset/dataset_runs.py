"""The commands `dataset` and `recipe`, and what they write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner, Result

from relay_gguf.cli.dataset import dataset, recipe
from relay_gguf.errors import RelayError

APP = typer.Typer()
APP.command()(dataset)
APP.command()(recipe)


def run(*arguments: object) -> Result:
    """A command; its error is raised."""
    done = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    if isinstance(done.exception, RelayError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
