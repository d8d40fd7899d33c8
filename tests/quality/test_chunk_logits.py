"""Logits of many chunks at once are those of each alone, from its first scored position on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pico import write_pico

from relay_gguf import LlamaEngine
from relay_gguf.errors import EngineError, SettingsError
from relay_gguf.llama.batch.chunk_logits import ChunkLogits, at_once
from relay_gguf.sampling import SamplingParams

BOS = 5


@pytest.fixture(scope="module")
def with_bos(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose file wants a BOS before each text."""
    folder = tmp_path_factory.mktemp("bos")
    return write_pico(folder / "bos.gguf", smollm2, n_vocab=280, spoil=0.1, add_bos=True, bos=BOS)


@pytest.mark.parametrize("n_ctx", [60, 700])  # many in a batch; several batches for each
def test_rows_are_those_of_a_single_engine(n_ctx: int, with_bos: Path) -> None:
    chunks = np.random.default_rng(3).integers(17, 280, (3, n_ctx), dtype=np.int32)
    found = np.zeros((3, n_ctx - 1 - n_ctx // 2, 280), np.float32)
    with ChunkLogits(with_bos, n_ctx, n_threads=1) as engine:
        for rows in engine.rows(chunks):
            start = rows.position - n_ctx // 2
            found[rows.chunk, start : start + len(rows.logits)] = rows.logits
    assert found.any(axis=2).all()
    with LlamaEngine(with_bos, n_threads=1) as single:
        for chunk, at in ((0, 0), (1, len(found[0]) // 2), (2, len(found[0]) - 1)):
            prompt = [BOS, *chunks[chunk, 1 : n_ctx // 2 + at + 1].tolist()]
            list(single.generate(prompt, SamplingParams(max_tokens=1)))
            np.testing.assert_allclose(found[chunk, at], single.logits(), rtol=0, atol=1e-2)


def test_as_many_chunks_as_a_batch_holds() -> None:
    assert [at_once(n_ctx) for n_ctx in (1, 16, 512, 513, 4096)] == [256, 32, 1, 1, 1]


def test_a_context_longer_than_the_model_and_a_closed_engine(with_bos: Path) -> None:
    with pytest.raises(SettingsError, match="takes at most 8192 tokens"):
        ChunkLogits(with_bos, 9000)
    engine = ChunkLogits(with_bos, 64, n_threads=1)
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        next(engine.rows(np.ones((1, 64), np.int32)))
