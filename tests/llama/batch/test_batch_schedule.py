"""How much of a prompt a step reads."""

from __future__ import annotations

import pytest

from relay_gguf.fit.plan import N_BATCH
from relay_gguf.llama.batch.schedule import LONGEST, ReadingShare


@pytest.mark.parametrize(
    ("plain", "each"),
    [(0.01, 0.0008), (0.043, 0.002), (0.11, 0.005), (0.2, 0.02), (0.3, 0.003), (0.4, 0.03)],
)
def test_alone_a_slow_model_reads_in_pieces_that_pay(plain: float, each: float) -> None:
    """A step takes `plain` seconds however little it reads: in pieces of 8 that is most of it."""
    share, left, seconds = ReadingShare(), 2000, 0.0
    while left:
        count = min(left, share.budget(0, [left]))
        took = plain + each * count
        assert took <= LONGEST
        left, seconds = left - count, seconds + took
        share.took(0, [left] if left else [], count, took)
    best = plain / N_BATCH + each
    assert 2000 / seconds >= 0.5 / best, "tokens a second"
