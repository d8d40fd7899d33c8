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


@pytest.mark.parametrize(("n_slots", "unified"), [(2, True), (16, True), (64, True), (16, False)])
def test_what_slots_take_is_near_what_llama_cpp_says(
    n_slots: int, smollm2: Path, *, unified: bool
) -> None:
    sizes = read_gguf(smollm2).sizes()
    settings = LoadSettings(0, 2048, n_slots=n_slots, n_cells=2048 * n_slots, kv_unified=unified)
    measured = measure(smollm2, settings)
    assert measured is not None
    assert abs(sizes.kv(len(sizes.blocks), settings.pool, "f16") - measured.kv) <= 0.01 * MIB
    compute = sizes.compute_buffer(settings.n_kv, settings.n_ubatch) + sizes.more_rows(n_slots)
    rows = 4 * sizes.n_vocab * n_slots  # a copy of the logits, which is not a compute buffer
    assert (
        0.94 * sum(measured.compute.values())
        <= compute - rows + 4 * sizes.n_vocab
        <= (1.6 if unified else 1.8) * sum(measured.compute.values())
    )


def test_slots_share_what_fits(smollm2: Path) -> None:
    """As many cells as all slots can use, or half as many, and so on."""
    sizes = read_gguf(smollm2).sizes()
    options = LoadOptions(n_ctx=4096, n_slots=16)
    roomy = fit(sizes, Machine(64 * GIB, 32 * GIB, 2e10), options).settings
    short = fit(sizes, Machine(2 * GIB, GIB, 2e10), options).settings
    assert (roomy.n_ctx, roomy.n_slots, roomy.pool) == (4096, 16, 65536)
    assert (short.n_ctx, short.n_slots, short.pool) == (4096, 16, 16384)


def test_a_cache_for_each_slot_is_planned_only_for_a_whole_context(smollm2: Path) -> None:
    """A conversation's context is what was promised; where memory is short it is from a pool."""
    sizes = read_gguf(smollm2).sizes()
    roomy, scarce = Machine(64 * GIB, 32 * GIB, 2e10), Machine(2 * GIB, GIB, 2e10)

    def planned(machine: Machine, **given: int) -> tuple[int, int, bool]:
        options = LoadOptions(kv_unified=False, **given)  # type: ignore[arg-type]
        at = fit(sizes, machine, options).settings
        return at.n_ctx, at.pool, at.kv_unified

    assert planned(roomy, n_ctx=4096, n_slots=16) == (4096, 65536, False)
    assert planned(scarce, n_ctx=4096, n_slots=16) == (4096, 16384, True)
    assert planned(roomy, n_ctx=300, n_slots=4) == (300, 4 * 512, False)  # as llama.cpp pads each
    assert planned(roomy, n_ctx=512, n_slots=4, n_cells=1024) == (512, 1024, True)
    assert planned(roomy, n_ctx=512, n_slots=1) == (512, 512, True)
