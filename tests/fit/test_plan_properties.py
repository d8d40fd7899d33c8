"""A plan fits, on any machine, and its layers are where llama.cpp puts them: properties."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay_gguf.errors import MemoryShortError
from relay_gguf.fit.catalogue import catalogue
from relay_gguf.fit.memory import GIB, KV_TYPES, MIB, ModelSizes, layers_by_device
from relay_gguf.fit.placement import place
from relay_gguf.fit.plan import LoadOptions, fit, ladder
from relay_gguf.machine.devices import Gpu, Machine


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    ram = draw(st.integers(2 * 1024, 128 * 1024)) * MIB
    available = draw(st.integers(0, ram))
    unified = draw(st.booleans())
    count = 1 if unified else draw(st.integers(0, 3))
    totals = [draw(st.integers(2 * 1024, 48 * 1024)) * MIB for _ in range(count)]
    gpus = tuple(
        Gpu(f"CUDA{n}", "a card", "CUDA", draw(st.integers(0, total)), total, unified)
        for n, total in enumerate(totals)
    )
    return Machine(ram, available, 50e9, gpus)


@st.composite
def made_up(draw: st.DrawFn) -> ModelSizes:
    kinds = draw(st.lists(st.integers(MIB, 400 * MIB), min_size=1, max_size=3))
    blocks = tuple(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=60)))
    embedding, output = draw(st.integers(MIB, GIB)), draw(st.integers(MIB, GIB))
    tied = draw(st.booleans())
    return ModelSizes(
        "made-up.gguf",
        blocks,
        embedding,
        output + embedding if tied else output,
        draw(st.sampled_from([0.0, 256.0, 1000.5, 2048.0, 8192.0])),
        tied,
        draw(st.sampled_from([512, 1000, 2048, 3000, 4096, 131072])),
        draw(st.integers(64, 8192)),
        draw(st.integers(64, 30000)),
        draw(st.integers(8, 200_000)),
        draw(st.booleans()),
    )


Q4_K_M = catalogue()[2].model
models = st.one_of(st.sampled_from([file.model for file in catalogue()]), made_up())


@st.composite
def problems(draw: st.DrawFn) -> tuple[ModelSizes, Machine, LoadOptions]:
    """A model, a machine, and options that go with both."""
    model, on = draw(models), draw(machines())
    n_ctx = st.none() | st.integers(256, min(32768, model.n_ctx_train))
    kv_type = st.none() | st.sampled_from(list(KV_TYPES) if model.blocks_of_32 else ["f16"])
    given: dict[str, Any] = {"n_ctx": draw(n_ctx), "kv_type": draw(kv_type)}
    n_gpus = len(on.gpus)
    if n_gpus and draw(st.booleans()):
        given["n_gpu_layers"] = draw(st.none() | st.integers(-1, model.n_layers + 1))
        given["main_gpu"] = draw(st.none() | st.integers(0, n_gpus - 1))
        split = st.tuples(*[st.integers(1, 9)] * n_gpus)
        given["tensor_split"] = draw(st.none() | split)
    elif draw(st.booleans()):
        given["no_gpu"] = True
    return model, on, LoadOptions(**given)


@given(problems())
def test_a_plan_fits_and_has_every_layer_once(
    problem: tuple[ModelSizes, Machine, LoadOptions],
) -> None:
    model, on, options = problem
    try:
        plan = fit(model, on, options)
    except MemoryShortError as error:
        refused(str(error), model, on)
        return
    at = plan.settings
    # It fits, with its margins.
    gpus = {gpu.name: gpu for gpu in on.gpus}
    for share in plan.shares[:-1]:
        free = gpus[share.device].free
        assert share.used + min(512 * MIB, free // 8) <= free
    unified = sum(share.used for share in plan.shares[:-1] if gpus[share.device].unified)
    ram = plan.shares[-1]
    assert ram.device == "RAM"
    assert ram.used + unified + min(512 * MIB, on.available // 8) <= on.available
    # Every layer is on exactly one device, and its weights and cache with it.
    assert sum(share.blocks for share in plan.shares) == len(model.blocks)
    assert sum(share.output for share in plan.shares) == 1
    assert sum(share.blocks + share.output for share in plan.shares[:-1]) == at.n_gpu_layers
    twice = model.embedding if model.tied and not ram.output else 0
    assert sum(share.weights for share in plan.shares) == model.weights + twice
    whole = model.kv(len(model.blocks), at.n_ctx, at.kv_type)
    assert sum(share.kv for share in plan.shares) == pytest.approx(whole, abs=4)
    # What was asked for is kept; what was not is within bounds.
    if options.n_ctx is None:
        assert min(2048, model.n_ctx_train) <= at.n_ctx <= min(4096, model.n_ctx_train)
    else:
        assert at.n_ctx == options.n_ctx
    if options.n_gpu_layers is not None:
        asked = options.n_gpu_layers
        most = model.n_layers
        assert at.n_gpu_layers == (most if asked < 0 else min(asked, most))
    assert at.kv_type in ((options.kv_type,) if options.kv_type else ("f16", "q8_0"))
    assert at.kv_type == "f16" or model.blocks_of_32
    if at.n_gpu_layers and options.main_gpu is not None:
        assert [share.device for share in plan.shares[:-1]] == [on.gpus[options.main_gpu].name]
    elif at.n_gpu_layers and options.tensor_split is not None and len(on.gpus) > 1:
        assert at.tensor_split == options.tensor_split
    if options.no_gpu:
        assert at.n_gpu_layers == 0
    # llama.cpp puts as many layers on each GPU as the plan says.
    if at.gpu is None and len(plan.shares) > 2:
        counts = [share.blocks + share.output for share in plan.shares[:-1]]
        assert layers_by_device(at.n_gpu_layers, at.tensor_split) == counts


def refused(message: str, model: ModelSizes, on: Machine) -> None:
    """What a refusal names as a way out is one."""
    match = re.search(r"This would do: (.*)\.$", message)
    if match is None:
        assert message.endswith("Take a smaller quantization of the model.")
        with pytest.raises(MemoryShortError):
            fit(model, on, LoadOptions())
        return
    fit(model, on, parsed(match[1]))


def parsed(flags: str) -> LoadOptions:
    """The options of a command line."""
    given: dict[str, Any] = {}
    words = iter(flags.split())
    for word in words:
        name = word.removeprefix("--").replace("-", "_")
        value = True if name == "no_gpu" else next(words)
        given[name] = value if name in ("kv_type", "no_gpu") else int(value)
    return LoadOptions(**given)


@st.composite
def tight(draw: st.DrawFn) -> tuple[ModelSizes, Machine, LoadOptions]:
    """Several cards that hold most of the model together."""
    free = draw(st.lists(st.integers(20, 60), min_size=2, max_size=3))
    gpus = tuple(
        Gpu(f"CUDA{n}", "a card", "CUDA", tenths * GIB // 10, 8 * GIB)
        for n, tenths in enumerate(free)
    )
    return Q4_K_M, Machine(32 * GIB, 24 * GIB, 50e9, gpus), LoadOptions()


def rung(model: ModelSizes, on: Machine, options: LoadOptions) -> int:
    """The place of the plan on the ladder, 0 the best; a refusal is below all."""
    rungs = [(at.n_gpu_layers, at.n_ctx, at.kv_type) for at in ladder(model, on, options)]
    try:
        at = fit(model, on, options).settings
    except MemoryShortError:
        return len(rungs)
    return rungs.index((at.n_gpu_layers, at.n_ctx, at.kv_type))


@given(
    problems() | tight(),
    st.lists(st.integers(0, 48 * 1024) | st.integers(0, 512), min_size=4, max_size=4),
)
def test_more_memory_is_never_worse(
    problem: tuple[ModelSizes, Machine, LoadOptions], more: list[int]
) -> None:
    model, on, options = problem
    gpus = tuple(
        replace(gpu, free=gpu.free + mib * MIB) for gpu, mib in zip(on.gpus, more, strict=False)
    )
    larger = replace(on, available=on.available + more[-1] * MIB, gpus=gpus)
    assert rung(model, larger, options) <= rung(model, on, options)


@given(st.tuples(st.integers(20, 60), st.integers(20, 60)))
@example((30, 30))
def test_no_other_split_holds_more(tenths: tuple[int, int]) -> None:
    gpus = tuple(
        Gpu(f"CUDA{n}", "a card", "CUDA", part * GIB // 10, 8 * GIB)
        for n, part in enumerate(tenths)
    )
    on, options = Machine(32 * GIB, 24 * GIB, 50e9, gpus), LoadOptions()
    at = rung(Q4_K_M, on, options)
    if at:
        better = list(ladder(Q4_K_M, on, options))[at - 1]
        for first in range(better.n_gpu_layers + 1):
            split = (float(first), float(better.n_gpu_layers - first))
            assert not place(Q4_K_M, on, replace(better, tensor_split=split)).fits


# llama.cpp's rule


def llama_cpp(n_layers: int, splits: tuple[float, ...]) -> list[int]:
    """load_tensors of src/llama-model.cpp, in its floats."""
    bounds = np.array(splits, np.float32)
    for device in range(1, len(bounds)):
        bounds[device] += bounds[device - 1]
    bounds /= bounds[-1]
    at = np.arange(n_layers, dtype=np.float32) / np.float32(n_layers)
    found = np.searchsorted(bounds, at, side="right")  # std::upper_bound
    return [int(n) for n in np.bincount(found, minlength=len(splits))]


@given(
    st.integers(1, 200),
    st.lists(st.integers(0, 1000).map(lambda n: n / 10), min_size=1, max_size=4)
    .map(tuple)
    .filter(any),
)
@example(10, (0.1, 0.2, 0.7))  # 3/10 is 0.1 + 0.2 in floats, and less in doubles
@example(50, (4.8, 5.2))  # 24 of 50, by the last digit
@example(4, (1, 1))
@example(5, (0, 1, 0))
def test_layers_are_shared_as_llama_cpp_does(n_layers: int, splits: tuple[float, ...]) -> None:
    assert layers_by_device(n_layers, splits) == llama_cpp(n_layers, splits)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4).filter(any))
def test_counts_as_shares_give_these_counts(counts: list[int]) -> None:
    assert layers_by_device(sum(counts), counts) == counts
