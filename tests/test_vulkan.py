"""Offloading to a Vulkan device, or Mesa's software one: see CONTRIBUTING. Run with -m vulkan.

llvmpipe compiles each shader when it is first used: minutes for a load there, seconds on a card.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from relay_gguf.engine import Token
from relay_gguf.fit.placement import RAM
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.devices import devices, gpus
from relay_gguf.llama.engine import LlamaEngine
from relay_gguf.sampling import SamplingParams

pytestmark = pytest.mark.vulkan

N_BLOCKS = 30
PROMPT = "user\nThe lighthouse keeper looked at the sea and said"


@pytest.fixture(scope="module")
def device() -> str:
    """The first Vulkan device."""
    found = [gpu.name for gpu in gpus() if gpu.backend == "Vulkan"]
    if not found:
        seen = [device.name for device in devices() if device.backend == "Vulkan"]
        if seen:
            pytest.fail(f"the self-test refuses {seen}: relay-gguf doctor says why")
        pytest.skip("llama.cpp has no Vulkan device here: see CONTRIBUTING.md")
    return found[0]


def greedy(engine: LlamaEngine) -> Sequence[int]:
    """The most likely 12 tokens."""
    prompt = [engine.control.im_start, *engine.tokenize(PROMPT)]
    steps = engine.generate(prompt, SamplingParams(temperature=0.0, max_tokens=12))
    return [step.id for step in steps if isinstance(step, Token)]


@pytest.fixture(scope="module")
def by_the_cpu(smollm2: Path) -> Sequence[int]:
    with LlamaEngine(smollm2, LoadOptions(n_ctx=512, no_gpu=True)) as engine:
        return greedy(engine)


@pytest.mark.parametrize("n_layers", [0, N_BLOCKS // 2, N_BLOCKS + 1], ids=["none", "half", "all"])
def test_offload(n_layers: int, device: str, by_the_cpu: Sequence[int], smollm2: Path) -> None:
    options = LoadOptions(n_ctx=512, n_gpu_layers=n_layers)
    with LlamaEngine(smollm2, options) as engine:
        assert greedy(engine) == by_the_cpu
        held = {share.device: share.blocks for share in engine.plan.shares}
    on_device = min(n_layers, N_BLOCKS)
    assert held.get(device, 0) == on_device
    assert held.get(RAM, 0) == N_BLOCKS - on_device
