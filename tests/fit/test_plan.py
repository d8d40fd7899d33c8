"""What goes where on which machine, what is given up first, and what is refused: cases."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from relay_gguf.errors import MemoryShortError, SettingsError
from relay_gguf.fit.catalogue import catalogue
from relay_gguf.fit.memory import GIB, ModelSizes
from relay_gguf.fit.placement import LoadSettings, Plan, place
from relay_gguf.fit.plan import LoadOptions, fit
from relay_gguf.machine.devices import Gpu, Machine

F16, Q8_0, Q4_K_M, Q2_K = (file.model for file in catalogue())


def machine(ram: float, *vram: float, unified: bool = False, advice: str = "") -> Machine:
    """GiB that are free in RAM and on each GPU."""
    gpus = tuple(
        Gpu(f"CUDA{n}", "a card", "CUDA", int(gib * GIB), int(gib * GIB), unified)
        for n, gib in enumerate(vram)
    )
    return Machine(int(ram * GIB), int(ram * GIB), 50e9, gpus, advice)


def told(plan: Plan) -> str:
    """`41 layers 4096 f16: CUDA0 40+out 7.4, RAM 0.5`, in blocks and GiB."""
    at = plan.settings
    shares = ", ".join(
        f"{share.device} {share.blocks}{'+out' * share.output} {share.used / GIB:.1f}"
        for share in plan.shares
    )
    return f"{at.n_gpu_layers} layers {at.n_ctx} {at.kv_type}: {shares}"


SHRINKING = """
 8.2 GiB free: 41 layers 4096 f16: CUDA0 40+out 7.4, RAM 0 0.5
 7.9 GiB free: 41 layers 3840 f16: CUDA0 40+out 7.4, RAM 0 0.5
 7.8 GiB free: 41 layers 3328 f16: CUDA0 40+out 7.3, RAM 0 0.5
 7.7 GiB free: 41 layers 2560 f16: CUDA0 40+out 7.2, RAM 0 0.5
 7.6 GiB free: 41 layers 3584 q8_0: CUDA0 40+out 7.1, RAM 0 0.5
 7.5 GiB free: 41 layers 2560 q8_0: CUDA0 40+out 7.0, RAM 0 0.5
 7.4 GiB free: 37 layers 4096 f16: CUDA0 36+out 6.8, RAM 4 1.3
 6.0 GiB free: 29 layers 4096 f16: CUDA0 28+out 5.4, RAM 12 2.6
 4.0 GiB free: 17 layers 4096 f16: CUDA0 16+out 3.5, RAM 24 4.6
 2.0 GiB free: 6 layers 4096 f16: CUDA0 5+out 1.6, RAM 35 6.4
 1.0 GiB free: 1 layers 4096 f16: CUDA0 0+out 0.8, RAM 40 7.3
 0.8 GiB free: 0 layers 4096 f16: RAM 40+out 7.7
 0.0 GiB free: 0 layers 4096 f16: RAM 40+out 7.7
"""


def test_what_is_given_up_first() -> None:
    free = [float(line.split()[0]) for line in SHRINKING.strip().splitlines()]
    plans = [(gib, fit(Q4_K_M, machine(64, gib), LoadOptions())) for gib in free]
    lines = [f"{gib:4} GiB free: {told(plan)}" for gib, plan in plans]
    assert lines == SHRINKING.strip("\n").splitlines()


PLACED: dict[str, tuple[Machine, LoadOptions, str]] = {
    "one GPU": (
        machine(32, 12),
        LoadOptions(),
        "41 layers 4096 f16: CUDA0 40+out 7.4, RAM 0 0.5",
    ),
    "two alike": (
        machine(32, 6, 6),
        LoadOptions(),
        "41 layers 4096 f16: CUDA0 21 3.7, CUDA1 19+out 3.9, RAM 0 0.5",
    ),
    "two unlike": (
        machine(32, 4, 12),
        LoadOptions(),
        "41 layers 4096 f16: CUDA0 9 1.7, CUDA1 31+out 5.9, RAM 0 0.5",
    ),
    "two that hold one more than their proportion": (
        machine(32, 3, 3),
        LoadOptions(),
        "25 layers 4096 f16: CUDA0 14 2.6, CUDA1 10+out 2.5, RAM 16 3.3",
    ),
    "the second has nothing free": (
        machine(32, 12, 0),
        LoadOptions(),
        "41 layers 4096 f16: CUDA0 40+out 7.4, CUDA1 0 0.0, RAM 0 0.5",
    ),
    "the second alone": (
        machine(32, 12, 10),
        LoadOptions(main_gpu=1),
        "41 layers 4096 f16: CUDA1 40+out 7.4, RAM 0 0.5",
    ),
    "shares": (
        machine(32, 12, 12),
        LoadOptions(tensor_split=(3, 1)),
        "41 layers 4096 f16: CUDA0 31 5.3, CUDA1 9+out 2.3, RAM 0 0.5",
    ),
    "ten layers": (
        machine(32, 12),
        LoadOptions(n_gpu_layers=10),
        "10 layers 4096 f16: CUDA0 9+out 2.3, RAM 31 5.7",
    ),
    "ten layers on two": (
        machine(32, 12, 12),
        LoadOptions(n_gpu_layers=10),
        "10 layers 4096 f16: CUDA0 6 1.3, CUDA1 3+out 1.3, RAM 31 5.7",
    ),
    "the output alone": (
        machine(32, 12),
        LoadOptions(n_gpu_layers=1),
        "1 layers 4096 f16: CUDA0 0+out 0.8, RAM 40 7.3",
    ),
    "all, as -1": (
        machine(32, 12),
        LoadOptions(n_gpu_layers=-1),
        "41 layers 4096 f16: CUDA0 40+out 7.4, RAM 0 0.5",
    ),
    "more than there are": (
        machine(32, 12),
        LoadOptions(n_gpu_layers=99),
        "41 layers 4096 f16: CUDA0 40+out 7.4, RAM 0 0.5",
    ),
    "none, as 0": (
        machine(32, 12),
        LoadOptions(n_gpu_layers=0),
        "0 layers 4096 f16: RAM 40+out 7.7",
    ),
    "no GPU": (
        machine(32, 12),
        LoadOptions(no_gpu=True),
        "0 layers 4096 f16: RAM 40+out 7.7",
    ),
    "none there": (
        machine(32),
        LoadOptions(),
        "0 layers 4096 f16: RAM 40+out 7.7",
    ),
    "a long context": (
        machine(32, 12),
        LoadOptions(n_ctx=16384),
        "41 layers 16384 f16: CUDA0 40+out 9.3, RAM 0 0.5",
    ),
    "unified": (
        machine(16, 10.6, unified=True),
        LoadOptions(),
        "41 layers 4096 f16: CUDA0 40+out 7.4, RAM 0 0.5",
    ),
}


@pytest.mark.parametrize("case", PLACED)
def test_a_model_is_placed_on_each_machine_as_expected(case: str) -> None:
    on, options, expected = PLACED[case]
    assert told(fit(Q4_K_M, on, options)) == expected


def test_which_devices_are_told_to_llama_cpp() -> None:
    def settings(on: Machine, **options: Any) -> LoadSettings:
        return fit(Q4_K_M, on, LoadOptions(**options)).settings

    assert settings(machine(32, 12)).gpu is None
    assert settings(machine(32, 12)).tensor_split == ()
    assert settings(machine(32, 12, 12), main_gpu=1).gpu == 1
    assert settings(machine(32, 12), no_gpu=True).gpu == -1, "a card must not be touched"
    assert settings(machine(32)).gpu is None
    assert settings(machine(32, 6, 6)).tensor_split == (21, 20), "counts of layers"
    assert settings(machine(32, 12, 12), tensor_split=(3, 1)).tensor_split == (3, 1)


def test_a_gpu_in_ram_takes_from_it() -> None:
    apart = fit(Q4_K_M, machine(16, 10.6), LoadOptions())
    shared = fit(Q4_K_M, machine(16, 10.6, unified=True), LoadOptions())
    on_gpu, in_ram = shared.shares
    assert in_ram.free == 16 * GIB - on_gpu.used
    assert apart.shares[-1].free == 16 * GIB
    assert in_ram.used == apart.shares[-1].used
    little = machine(8, 10.6, unified=True)  # as much as the GPU is allowed is not there
    assert fit(Q4_K_M, replace(little, gpus=machine(8, 10.6).gpus), LoadOptions()).whole
    with pytest.raises(MemoryShortError, match="iB of RAM"):
        fit(Q4_K_M, little, LoadOptions(n_gpu_layers=-1, n_ctx=4096, kv_type="f16"))


REFUSED_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"n_ctx": 255}, "n_ctx is 255; it must be 256 or more."),
    ({"n_ctx": -1}, "n_ctx is -1; it must be 256 or more."),
    ({"kv_type": "q5_0"}, "kv_type is 'q5_0'; it must be one of f16, q8_0, q4_0."),
    ({"tensor_split": ()}, "tensor_split must be one share for each GPU, like 3,1."),
    ({"tensor_split": (1, -1)}, "tensor_split must be one share for each GPU, like 3,1."),
    ({"tensor_split": (0, 0)}, "tensor_split must be one share for each GPU, like 3,1."),
    ({"tensor_split": (1e-46,)}, "tensor_split must be one share for each GPU, like 3,1."),
    ({"tensor_split": (float("nan"),)}, "tensor_split must be one share for each GPU, like 3,1."),
    ({"tensor_split": (float("inf"),)}, "tensor_split must be one share for each GPU, like 3,1."),
    *(
        (given, "--no-gpu leaves no layer for a GPU: give only one of these options.")
        for given in (
            {"no_gpu": True, "n_gpu_layers": 3},
            {"no_gpu": True, "n_gpu_layers": -1},
            {"no_gpu": True, "main_gpu": 0},
            {"no_gpu": True, "tensor_split": (1, 1)},
        )
    ),
]


@pytest.mark.parametrize(("given", "message"), REFUSED_OPTIONS)
def test_options_that_mean_nothing(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        LoadOptions(**given)


NO_GPU = "The options put layers on a GPU, but this build of llama.cpp finds no GPU."
ODD_HEADS = replace(Q4_K_M, name="odd.gguf", blocks_of_32=False)
SHORT = replace(Q4_K_M, name="short.gguf", n_ctx_train=2048)
REFUSED: list[tuple[ModelSizes, Machine, LoadOptions, str]] = [
    (SHORT, machine(32), LoadOptions(n_ctx=2049), "short.gguf takes at most 2048 tokens, --n-ctx"),
    (Q4_K_M, machine(32), LoadOptions(n_gpu_layers=3), f"{NO_GPU} `relay-gguf devices`"),
    (Q4_K_M, machine(32), LoadOptions(n_gpu_layers=-1), NO_GPU),
    (Q4_K_M, machine(32), LoadOptions(main_gpu=0), NO_GPU),
    (Q4_K_M, machine(32), LoadOptions(tensor_split=(1, 1)), NO_GPU),
    (
        Q4_K_M,
        machine(32, advice="Install the CUDA wheel."),
        LoadOptions(n_gpu_layers=3),
        f"{NO_GPU} Install the CUDA wheel.",
    ),
    (Q4_K_M, machine(32, 12), LoadOptions(main_gpu=1), "no GPU 1: `relay-gguf devices` lists 0 to"),
    (Q4_K_M, machine(32, 12), LoadOptions(main_gpu=-1), "There is no GPU -1"),
    (Q4_K_M, machine(32, 12), LoadOptions(tensor_split=(1, 1)), "has 2 shares for 1 GPUs"),
    (Q4_K_M, machine(32, 12, 12), LoadOptions(tensor_split=(1,)), "has 1 shares for 2 GPUs"),
    (
        ODD_HEADS,
        machine(32),
        LoadOptions(kv_type="q8_0"),
        "odd.gguf cannot have a KV cache of type",
    ),
]


@pytest.mark.parametrize(("model", "on", "options", "message"), REFUSED)
def test_options_that_do_not_go_together(
    model: ModelSizes, on: Machine, options: LoadOptions, message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        fit(model, on, options)


def test_a_refusal_says_what_lacks_and_what_would_fit() -> None:
    with pytest.raises(MemoryShortError) as error:
        fit(Q4_K_M, machine(4), LoadOptions())
    assert str(error.value) == (
        "relay-v0.1-Mistral-Nemo-12B-2407-Q4_K_M.gguf does not fit: with 2048 tokens of context in "
        "q8_0 it needs 7.3 GiB of RAM (7.0 GiB weights, 170 MiB context, 146 MiB compute "
        "buffer), but 4.0 GiB are free, and 512 MiB of these are kept for other programs. Take a "
        "smaller quantization of the model."
    )
    with pytest.raises(MemoryShortError, match="with 41 of 41 layers on a GPU and 2048") as error:
        fit(Q4_K_M, machine(32, 6), LoadOptions(n_gpu_layers=-1))
    assert str(error.value).endswith("This would do: --n-gpu-layers 29 --n-ctx 4096.")


def test_a_cache_is_not_quantized_where_it_cannot_be() -> None:
    tight = machine(7.9)
    assert fit(Q4_K_M, tight, LoadOptions()).settings.kv_type == "q8_0"
    with pytest.raises(MemoryShortError):
        fit(ODD_HEADS, tight, LoadOptions())


def test_sixty_layers_on_twenty_gpus() -> None:
    model = replace(Q4_K_M, blocks=Q4_K_M.blocks[:1] * 60)
    plan = fit(model, machine(8, *[2.5] * 20), LoadOptions())
    assert plan.whole
    assert [share.blocks for share in plan.shares] == [*[3] * 6, *[4, *[3] * 5] * 2, 4, 0, 0]


def test_a_model_without_blocks() -> None:
    plan = fit(replace(Q4_K_M, blocks=()), machine(8, 2), LoadOptions())
    assert [(share.blocks, share.output) for share in plan.shares] == [(0, True), (0, False)]
    alone = place(replace(Q4_K_M, blocks=()), machine(8), LoadSettings(0, 2048))
    assert alone.shares[0].weights == Q4_K_M.embedding + Q4_K_M.output
