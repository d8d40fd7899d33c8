"""One option for each tensor within a size, beside all selections there are and the bound."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from relay_gguf.convert.budget.knapsack import TypeOption, select, smallest
from relay_gguf.convert.quantize.ftypes import Type

KINDS = (Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.Q8_0)
BITS = (2.625, 3.4375, 4.5, 5.5, 6.5625, 8.5)


def made_up(n_tensors: int, n_kinds: int, seed: int) -> dict[str, list[TypeOption]]:
    """Tensors of several sizes, whose damage halves twice a bit, about."""
    rng = np.random.default_rng(seed)
    options = {}
    for number in range(n_tensors):
        size, scale = int(rng.integers(100, 1000)), rng.gamma(1.0)
        noise = rng.uniform(0.5, 1.5, n_kinds)
        options[f"t{number}"] = [
            TypeOption(kind, int(size * bits), float(scale * more * 4.0**-bits))
            for kind, bits, more in zip(KINDS[:n_kinds], BITS, noise, strict=False)
        ]
    return options


@pytest.mark.parametrize("seed", range(3))
def test_no_selection_of_few_tensors_is_better_but_by_little(seed: int) -> None:
    options = made_up(6, 4, seed)
    least, most = smallest(options), sum(max(o.n_bytes for o in each) for each in options.values())
    for share in (0.0, 0.1, 0.35, 0.7, 1.0):
        room = int(least + share * (most - least))
        found = select(options, room)
        every = (
            (sum(o.n_bytes for o in each), sum(o.damage for o in each))
            for each in product(*options.values())
        )
        best = min(damage for n_bytes, damage in every if n_bytes <= room)
        assert found.n_bytes <= room
        assert found.bound <= best * (1 + 1e-9)
        assert found.damage <= 1.1 * best, share


def test_the_damage_of_a_model_is_within_a_hundredth_of_the_bound() -> None:
    options = made_up(100, 6, 0)
    for bits in (3.0, 4.5):
        room = int(sum(each[0].n_bytes for each in options.values()) * bits / BITS[0])
        found = select(options, room)
        assert 0.999 * room < found.n_bytes <= room
        assert found.bound <= found.damage <= 1.01 * found.bound


def test_the_same_is_chosen_each_time() -> None:
    options = made_up(50, 6, 1)
    room = 2 * smallest(options)
    turned = dict(sorted(options.items(), reverse=True))
    assert dict(select(options, room).chosen) == dict(select(turned, room).chosen)


def test_with_room_for_all_the_least_damage_of_each_is_chosen() -> None:
    options = made_up(5, 6, 2)
    found = select(options, 10**9)
    assert found.damage == found.bound
    assert found.damage == pytest.approx(
        sum(min(o.damage for o in each) for each in options.values())
    )


def test_a_tensor_that_is_a_fifth_of_the_model_leaves_no_gap() -> None:
    """Its step from one type to the next is more than all the room that is left."""
    options = made_up(100, 6, 3)
    n_bytes = sum(each[-1].n_bytes for each in options.values()) // 5
    options["embedding"] = [
        TypeOption(kind, int(n_bytes * bits / BITS[-1]), 40.0 * 4.0**-bits)
        for kind, bits in zip(KINDS, BITS, strict=True)
    ]
    low, high = smallest(options), sum(each[-1].n_bytes for each in options.values())
    for share in (0.3, 0.45):
        found = select(options, int(low + share * (high - low)))
        assert found.damage <= 1.06 * found.bound, share
