"""Models for the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pico import write_pico


@pytest.fixture(scope="session")
def short(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that was trained on 512 tokens."""
    return write_pico(tmp_path_factory.mktemp("short") / "short.gguf", smollm2, n_ctx_train=512)
