"""Fixtures: a tiny guard, and the shipped phrases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_guard import write_guard

from relay_gguf.fit.plan import LoadOptions
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.safety.judges.judge_form import choose_form, read_judges
from relay_gguf.safety.judges.judging import Judge


@pytest.fixture(scope="session")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with Llama 3's kind of vocabulary and a guard's template."""
    return write_guard(tmp_path_factory.mktemp("guard") / "llama-guard-3-tiny.gguf")


@pytest.fixture(scope="session")
def guard_engine(guard: Path) -> Iterator[BatchEngine]:
    """It, loaded."""
    options = LoadOptions(n_ctx=1536, n_slots=4)
    with BatchEngine(guard, options, n_threads=1, any_chat=True) as engine:
        yield engine


@pytest.fixture
def judge(guard: Path, guard_engine: BatchEngine) -> Judge:
    """It, as a judge that names categories."""
    model = read_gguf(guard)
    return Judge(guard_engine, model, choose_form(model, read_judges()), codes=True)
