"""A base model for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from pico import write_pico

from relay_gguf.chatml import IM_END, IM_START


@pytest.fixture(scope="session")
def base(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose vocabulary has no ChatML, and whose file asks for a BOS token."""
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    return write_pico(
        path, smollm2, n_layer=1, n_embd=32, add_bos=True, bos=0, without=(IM_START, IM_END)
    )
