"""Fixtures: two workers, and a model of many blocks with its reply on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lent import Lent, lend
from pico import write_pico
from replies import said

from relay_gguf import LlamaEngine
from relay_gguf.fit.plan import LoadOptions


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Lent, Lent]]:
    """Two workers; the first has less memory."""
    with lend("--memory", "512M") as first, lend("--memory", "1G") as second:
        yield first, second


@pytest.fixture(scope="session")
def deep(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of 30 blocks, as many as SmolLM2 has, with less than half of its bytes."""
    return write_pico(
        tmp_path_factory.mktemp("deep") / "deep.gguf", smollm2, n_layer=30, n_embd=128
    )


@pytest.fixture(scope="session")
def reference(deep: Path) -> list[int]:
    """The reply of that model on the CPU of this process."""
    with LlamaEngine(deep, LoadOptions(no_gpu=True)) as engine:
        return said(engine)
