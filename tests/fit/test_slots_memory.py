"""What many replies at once take in memory, beside llama.cpp's figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_gguf.fit.memory import GIB, MIB
from relay_gguf.fit.placement import LoadSettings
from relay_gguf.fit.plan import LoadOptions, fit
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.llama.load import measure
from relay_gguf.machine.devices import Machine


@pytest.mark.parametrize("n_slots", [2, 16, 64])
def test_what_slots_take_is_near_what_llama_cpp_says(n_slots: int, smollm2: Path) -> None:
    sizes = read_gguf(smollm2).sizes()
    settings = LoadSettings(0, 2048, n_slots=n_slots, n_cells=2048 * n_slots)
    measured = measure(smollm2, settings)
    assert measured is not None
    assert abs(sizes.kv(len(sizes.blocks), settings.pool, "f16") - measured.kv) <= 0.01 * MIB
    compute = sizes.compute_buffer(settings.pool, settings.n_ubatch) + sizes.more_rows(n_slots)
    rows = 4 * sizes.n_vocab * n_slots  # a copy of the logits, which is not a compute buffer
    assert (
        0.94 * sum(measured.compute.values())
        <= compute - rows + 4 * sizes.n_vocab
        <= 1.6 * sum(measured.compute.values())
    )


def test_slots_share_what_fits(smollm2: Path) -> None:
    """As many cells as all slots can use, or half as many, and so on."""
    sizes = read_gguf(smollm2).sizes()
    options = LoadOptions(n_ctx=4096, n_slots=16)
    roomy = fit(sizes, Machine(64 * GIB, 32 * GIB, 2e10), options).settings
    short = fit(sizes, Machine(2 * GIB, GIB, 2e10), options).settings
    assert (roomy.n_ctx, roomy.n_slots, roomy.pool) == (4096, 16, 65536)
    assert (short.n_ctx, short.n_slots, short.pool) == (4096, 16, 16384)
