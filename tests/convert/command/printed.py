"""What a command prints, and what its files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay_gguf.cli.app import main
from relay_gguf.gguf_file.header import read_header


def ran(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints that ends well."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    printed = capfd.readouterr()
    assert (exit_.value.code, printed.err) == (0, "")
    return printed.out


def values(path: Path) -> dict[str, Any]:
    return {name: value.value for name, value in read_header(path).metadata.items()}
