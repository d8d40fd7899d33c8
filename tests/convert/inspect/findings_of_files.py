"""What is found in a GGUF file."""

from __future__ import annotations

from pathlib import Path

from relay_gguf.convert.inspect.finding import Finding
from relay_gguf.convert.inspect.inspection import inspect
from relay_gguf.gguf_file.gguf_model import read_gguf


def findings(path: Path) -> list[Finding]:
    return inspect(read_gguf(path))


def wrong(path: Path) -> list[tuple[str, str, str]]:
    """All that is not as it should be: level, check, text."""
    return [(f.level, f.check, f.text) for f in findings(path) if f.level != "ok"]
