"""Offloading to a Vulkan device, or Mesa's software one: see CONTRIBUTING. Run with -m vulkan.

llvmpipe compiles each shader when it is first used: minutes for a load there, seconds on a card.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay_gguf.fit.placement import RAM
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.backends import devices, gpus
from relay_gguf.llama.engine import LlamaEngine
from relay_gguf.sampling import SamplingParams

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits

pytestmark = pytest.mark.vulkan

N_BLOCKS = 30
HAIR = 0.5
"""Of a logit: a CPU rounds what it multiplies with Q4_1 weights to 8 bits, Vulkan does not."""
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


def logits_after(engine: LlamaEngine, reply: Sequence[int]) -> Logits:
    """Of the token that follows the prompt and a part of its reply."""
    prompt = [engine.control.im_start, *engine.tokenize(PROMPT), *reply]
    for _ in engine.generate(prompt, SamplingParams(max_tokens=1)):
        pass
    return engine.logits()


@pytest.fixture(scope="module")
def by_the_cpu(smollm2: Path) -> list[int]:
    """The most likely reply of 12 tokens."""
    reply: list[int] = []
    with LlamaEngine(smollm2, LoadOptions(n_ctx=512, no_gpu=True)) as engine:
        while len(reply) < 12:
            reply.append(int(logits_after(engine, reply).argmax()))
    return reply


@pytest.mark.parametrize("n_layers", [0, N_BLOCKS // 2, N_BLOCKS + 1], ids=["none", "half", "all"])
def test_layers_on_a_vulkan_device_give_the_cpus_words(
    n_layers: int, device: str, by_the_cpu: list[int], smollm2: Path
) -> None:
    """The device says what the CPU says, but for words that are as likely."""
    options = LoadOptions(n_ctx=512, n_gpu_layers=n_layers)
    with LlamaEngine(smollm2, options) as engine:
        for count, token in enumerate(by_the_cpu):
            logits = logits_after(engine, by_the_cpu[:count])
            assert logits.max() - logits[token] < HAIR
        held = {share.device: share.blocks for share in engine.plan.shares}
    on_device = max(0, n_layers - 1)  # the output is a layer, and the first to go
    assert held.get(device, 0) == on_device
    assert held[RAM] == N_BLOCKS - on_device
