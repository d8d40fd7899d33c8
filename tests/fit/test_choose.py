"""Which file is taken on which machine, how it is placed there, and what the catalogue rests on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relay_gguf.convert.write.layout import tensor_bytes
from relay_gguf.convert.write.sizes import outline_model
from relay_gguf.convert.write.targets import plan_targets
from relay_gguf.errors import MemoryShortError
from relay_gguf.fit.catalogue import catalogue
from relay_gguf.fit.choose import Candidate, better, candidates, choose
from relay_gguf.fit.memory import GIB
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.machine.devices import Gpu, Machine


def mac(ram: int, free: float, bandwidth: float) -> Machine:
    """Metal lets a program have two thirds of the RAM, three quarters on large machines."""
    part = int(ram * (2 / 3 if ram <= 32 else 3 / 4) * GIB)
    gpu = Gpu("MTL0", "Apple", "Metal", part, part, unified=True, bandwidth=bandwidth * 1e9)
    return Machine(ram * GIB, int(free * GIB), bandwidth * 0.8e9, (gpu,))


def cards(
    count: int,
    vram: int,
    bandwidth: float,
    ram: int,
    ram_bandwidth: float,
    second: tuple[int, float] | None = None,
) -> Machine:
    """Cards of which the desktop and the driver have 0.7 GiB; RAM of which a quarter is used."""
    kinds = [(vram, bandwidth), *[second or (vram, bandwidth)] * (count - 1)]
    gpus = tuple(
        Gpu(f"CUDA{n}", "NVIDIA", "CUDA", int((gib - 0.7) * GIB), gib * GIB, False, rate * 1e9)
        for n, (gib, rate) in enumerate(kinds)
    )
    return Machine(ram * GIB, ram * GIB * 3 // 4, ram_bandwidth * 1e9, gpus)


def cpu(ram: float, free: float, bandwidth: float) -> Machine:
    return Machine(int(ram * GIB), int(free * GIB), bandwidth * 1e9)


MACHINES = {
    "Mac M1, 8 GB": mac(8, 5.6, 68),
    "Mac M2, 16 GB": mac(16, 11, 100),
    "Mac M4, 24 GB": mac(24, 18, 120),
    "Mac M1 Max, 64 GB": mac(64, 50, 400),
    "RTX 2060, 6 GB + 16": cards(1, 6, 336, 16, 35),
    "RTX 4060, 8 GB + 16": cards(1, 8, 272, 16, 60),
    "RTX 3060, 12 GB + 32": cards(1, 12, 360, 32, 40),
    "RTX 4060 Ti, 16 GB + 32": cards(1, 16, 288, 32, 60),
    "RTX 3090, 24 GB + 64": cards(1, 24, 936, 64, 40),
    "RTX 3060 twice + 32": cards(2, 12, 360, 32, 40),
    "RTX 2060 + 3090 + 64": cards(2, 6, 336, 64, 40, second=(24, 936)),
    "CPU, 8 GB DDR4": cpu(8, 6, 35),
    "CPU, 16 GB DDR4": cpu(16, 12, 35),
    "CPU, 16 GB DDR5": cpu(16, 12, 65),
    "CPU, 32 GB DDR5": cpu(32, 27, 65),
    "CPU, 64 GB DDR5": cpu(64, 58, 65),
    "server, 64 GB, 8 channels": cpu(64, 60, 190),
    "container of 6 GB": cpu(6, 5.9, 65),
    "container of 2 GB": cpu(2, 1.9, 65),
}

TABLE = """
Mac M1, 8 GB               Q2_K   41 layers 2048 f16    10 t/s  MTL0 4.7 of 5.3 + RAM 0.3 of 0.9
Mac M2, 16 GB              Q4_K_M 41 layers 4096 f16     9 t/s  MTL0 7.4 of 10.7 + RAM 0.5 of 3.6
Mac M4, 24 GB              Q8_0   41 layers 4096 f16     7 t/s  MTL0 12.3 of 16.0 + RAM 0.8 of 5.7
Mac M1 Max, 64 GB          F16    41 layers 4096 f16    12 t/s  MTL0 22.4 of 48.0 + RAM 1.4 of 27.6
RTX 2060, 6 GB + 16        Q4_K_M 25 layers 4096 f16     8 t/s  CUDA0 4.8 of 5.3 + RAM 3.3 of 12.0
RTX 4060, 8 GB + 16        Q4_K_M 37 layers 4096 f16    20 t/s  CUDA0 6.8 of 7.3 + RAM 1.3 of 12.0
RTX 3060, 12 GB + 32       Q4_K_M 41 layers 4096 f16    34 t/s  CUDA0 7.4 of 11.3 + RAM 0.5 of 24.0
RTX 4060 Ti, 16 GB + 32    Q8_0   41 layers 4096 f16    16 t/s  CUDA0 12.3 of 15.3 + RAM 0.8 of 24.0
RTX 3090, 24 GB + 64       F16    41 layers 4096 f16    28 t/s  CUDA0 22.4 of 23.3 + RAM 1.4 of 48.0
RTX 3060 twice + 32        Q8_0   41 layers 4096 f16    20 t/s  CUDA0 6.2 of 11.3 + CUDA1 6.3 of 11.3 + RAM 0.8 of 24.0
RTX 2060 + 3090 + 64       F16    41 layers 4096 f16    22 t/s  CUDA0 3.9 of 5.3 + CUDA1 18.7 of 23.3 + RAM 1.4 of 48.0
CPU, 8 GB DDR4             Q2_K    0 layers 4096 f16     6 t/s  RAM 5.2 of 6.0
CPU, 16 GB DDR4            Q2_K    0 layers 4096 f16     6 t/s  RAM 5.2 of 12.0
CPU, 16 GB DDR5            Q4_K_M  0 layers 4096 f16     7 t/s  RAM 7.7 of 12.0
CPU, 32 GB DDR5            Q4_K_M  0 layers 4096 f16     7 t/s  RAM 7.7 of 27.0
CPU, 64 GB DDR5            Q4_K_M  0 layers 4096 f16     7 t/s  RAM 7.7 of 58.0
server, 64 GB, 8 channels  F16     0 layers 4096 f16     6 t/s  RAM 23.6 of 60.0
container of 6 GB          Q2_K    0 layers 4096 f16    10 t/s  RAM 5.2 of 5.9
container of 2 GB          -
"""  # noqa: E501


def row(name: str, machine: Machine) -> str:
    try:
        taken = choose(candidates(catalogue(), machine, LoadOptions()), machine)
    except MemoryShortError:
        return f"{name:26} -"
    assert taken.plan is not None
    at = taken.plan.settings
    shares = " + ".join(
        f"{share.device} {share.used / GIB:.1f} of {share.free / GIB:.1f}"
        for share in taken.plan.shares
    )
    return (
        f"{name:26} {taken.file.ftype:6} {at.n_gpu_layers:>2} layers {at.n_ctx} {at.kv_type:4} "
        f"{taken.speed:4.0f} t/s  {shares}"
    )


def test_what_is_taken_where() -> None:
    assert "\n".join(row(name, machine) for name, machine in MACHINES.items()) == TABLE.strip()


PUBLISHED = {"F16": 24.5, "Q8_0": 13.0, "Q4_K_M": 7.48, "Q2_K": 4.79}
"""Gigabytes, as the author's page has them."""
VOCABULARY = 8_000_000
"""Bytes of 131,074 tokens and their merges in a header, about."""


def test_the_catalogue_is_what_the_converter_would_write() -> None:
    metadata, tensors = outline_model(None)
    by_name = {tensor.name: tensor for tensor in tensors}
    targets = plan_targets(metadata, tensors, {file.ftype: file.file for file in catalogue()})
    assert [target.ftype for target in targets] == list(PUBLISHED)
    for target, file in zip(targets, catalogue(), strict=True):
        sizes: dict[str, int] = {}
        for name, kind in target.types.items():
            part = ".".join(name.split(".")[:2]) if name.startswith("blk") else name.split("_")[0]
            sizes[part] = sizes.get(part, 0) + tensor_bytes(by_name[name], kind)
        blocks = [n_bytes for part, n_bytes in sizes.items() if part.startswith("blk")]
        assert file.model.blocks == tuple(blocks), file.ftype
        assert file.model.embedding == sizes["token"]
        assert file.model.output == sum(sizes[part] for part in sizes if part.startswith("output"))
        assert float(f"{(target.size + VOCABULARY) / 1e9:.3g}") == PUBLISHED[file.ftype]
        assert file.size == round(PUBLISHED[file.ftype] * 1e9)
        assert target.files[0].name == file.file


def taken(machine: Machine, min_speed: float = 5.0) -> str:
    found = candidates(catalogue(), machine, LoadOptions())
    return choose(found, machine, min_speed).file.ftype


@pytest.mark.parametrize(
    ("min_speed", "ftype"), [(0, "F16"), (2, "F16"), (3, "Q8_0"), (5, "Q4_K_M"), (8, "Q2_K")]
)
def test_min_speed_decides_which_file_is_taken(min_speed: float, ftype: str) -> None:
    machine = MACHINES["CPU, 64 GB DDR5"]
    assert taken(machine, min_speed) == ftype


def test_nothing_is_fast_enough() -> None:
    assert taken(MACHINES["CPU, 64 GB DDR5"], 100) == "Q2_K", "the fastest"
    assert taken(cpu(16, 12, 5)) == "Q2_K"


def test_a_context_in_full_goes_before_a_better_file() -> None:
    """On 22.8 GiB F16 would fit with 2048 tokens in q8_0."""
    card = cards(1, 24, 936, 64, 40)
    full = replace(card, gpus=(replace(card.gpus[0], free=int(22.8 * GIB)),))
    f16 = candidates(catalogue(), full, LoadOptions())[0]
    assert f16.plan is not None
    assert f16.plan.whole
    assert f16.plan.settings.n_ctx < 4096
    assert taken(full) == "Q8_0"


def test_if_no_file_fits_the_error_says_what_lacks() -> None:
    with pytest.raises(MemoryShortError) as error:
        taken(MACHINES["container of 2 GB"])
    assert str(error.value) == (
        "Relay does not fit into this machine: its smallest file, Q2_K, is 4.79 GB, and 1.9 GiB of "
        "memory are free. `relay-gguf chat --demo` takes a small model."
    )


def test_the_next_better_file() -> None:
    machine = MACHINES["RTX 3060, 12 GB + 32"]
    f16, q8_0, q4, q2 = catalogue()
    for worse, file in ((q2, q4), (q4, q8_0), (q8_0, f16)):
        found = better(worse.model, 4.9, machine, LoadOptions())
        assert found is not None
        assert found.file is file
    assert better(f16.model, 16, machine, LoadOptions()) is None
    other = replace(q4.model, name="models/other-Q4_K_M.gguf")
    found = better(other, 4.89, machine, LoadOptions())
    assert found is not None
    assert found.file.ftype == "Q5_K_M"
    assert found.file.size == pytest.approx(q4.model.weights * 5.7 / 4.89, rel=0.01)
    assert better(other, 16.1, machine, LoadOptions()) is None


@pytest.mark.parametrize("page", ["README.md", "docs/models.md"])
def test_the_table_of_machines_is_what_is_chosen(page: str) -> None:
    def chosen(*names: str) -> list[Candidate]:
        machines = [MACHINES[name] for name in names]
        return [choose(candidates(catalogue(), m, LoadOptions()), m) for m in machines]

    def files(found: list[Candidate]) -> str:
        return ", ".join(candidate.file.ftype for candidate in found)

    macs = chosen("Mac M1, 8 GB", "Mac M2, 16 GB", "Mac M4, 24 GB", "Mac M1 Max, 64 GB")
    assert all(mac.plan and mac.plan.whole for mac in macs)
    rtx = ("2060, 6 GB + 16", "4060, 8 GB + 16", "3060, 12 GB + 32", "4060 Ti, 16 GB + 32")
    cards = chosen(*(f"RTX {card}" for card in rtx), "RTX 3090, 24 GB + 64")
    layers = [card.plan.settings.n_gpu_layers for card in cards if card.plan]
    on_gpu = ", ".join("all" if count == 41 else str(count) for count in layers)
    bare = chosen("CPU, 8 GB DDR4", "CPU, 16 GB DDR4", "CPU, 16 GB DDR5")
    text = (Path(__file__).parents[2] / page).read_text("utf-8")
    for row in (
        f"| Mac with 8, 16, 24, 64 GB | {files(macs)} | all layers |",
        f"| card with 6, 8, 12, 16, 24 GB | {files(cards)} | {on_gpu} of 41 layers |",
        f"| no GPU, with 8 GB, 16 GB of DDR4, 16 GB of DDR5 | {files(bare)} | |",
    ):
        assert row in text
