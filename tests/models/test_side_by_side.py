"""How many conversations are answered at once on which machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from relay_gguf.errors import MemoryShortError, SettingsError
from relay_gguf.fit.catalogue import catalogue
from relay_gguf.fit.memory import GIB
from relay_gguf.fit.plan import LoadOptions, fit
from relay_gguf.machine.devices import Gpu, Machine
from relay_gguf.models.side_by_side import fitting, side_by_side

Q4_K_M = next(file.model for file in catalogue() if file.ftype == "Q4_K_M")


def planned(ram: float, vram: float, options: LoadOptions, wanted: int | None) -> str:
    """`4 of 16384 tokens` on a machine with so many GiB free, and with a GPU unless `vram` is 0."""
    size = int(vram * GIB)
    gpus = (Gpu("CUDA0", "a card", "CUDA", size, size),) if vram else ()
    machine = Machine(int(ram * GIB), int(ram * GIB), 50e9, gpus, "")
    n_slots, found = fitting(partial(fit, Q4_K_M, machine), options, wanted, n_kept=32)
    assert (n_slots == 1) == (found == options), "alone the user's options are taken as they are"
    at = fit(Q4_K_M, machine, found).settings
    pool = n_slots > 1 and at.kv_unified
    assert at.n_slots == (32 if pool else n_slots)
    return f"{n_slots} of {found.n_cells or 'one context'}{' in a pool' * pool}"


CASES = [
    # GiB of RAM, of a GPU, options, --slots, what is planned
    (64, 0, LoadOptions(), None, "4 of 16384"),
    (64, 0, LoadOptions(n_ctx=2048), None, "4 of 8192"),
    (64, 0, LoadOptions(), 12, "12 of 49152"),
    (9.9, 0, LoadOptions(), None, "3 of 12288"),
    (8.5, 0, LoadOptions(), None, "1 of one context"),
    (8.5, 0, LoadOptions(), 4, "4 of 8192 in a pool"),
    (64, 12, LoadOptions(), None, "4 of 16384"),
    (64, 9.5, LoadOptions(), None, "3 of 12288"),
    (64, 8.2, LoadOptions(), None, "1 of one context"),
    (64, 6, LoadOptions(), None, "1 of one context"),  # not at the price of layers on the GPU
]


@pytest.mark.parametrize(("ram", "vram", "options", "wanted", "told"), CASES)
def test_as_many_as_cost_nobody_anything(
    ram: float, vram: float, options: LoadOptions, wanted: int | None, told: str
) -> None:
    assert planned(ram, vram, options, wanted) == told


def test_workers_serve_one_conversation_at_a_time() -> None:
    options, file = LoadOptions(workers=("host",)), Path("not looked at")
    for wanted in (None, 1):
        assert side_by_side(file, options, wanted, n_kept=32) == (1, options)
    with pytest.raises(SettingsError, match="take --slots 1, or leave the workers out"):
        side_by_side(file, options, 2, n_kept=32)


def test_what_does_not_fit_alone_is_refused() -> None:
    with pytest.raises(MemoryShortError):
        planned(4, 0, LoadOptions(), None)
