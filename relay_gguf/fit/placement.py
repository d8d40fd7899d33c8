"""Which part of a model is on which device, with given settings. All sizes are bytes.

llama.cpp fills GPUs from the model's end (src/llama-model.cpp, load_tensors): the output first,
then the last blocks, each with its keys and values. The input embedding stays in RAM, and so do the
blocks that are left.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from relay_gguf.machine.devices import Gpu, Machine

from .memory import DEFAULT_N_CTX, MIB, ModelSizes, layers_by_device

CPU_UBATCH: Final = 128
"""Tokens that a CPU evaluates at once. As fast as 512, with a quarter of the compute
buffer; and a cancel, which waits for the product of the largest matrix, is heard four times as
soon."""
MARGIN: Final = 512 * MIB
"""Bytes that stay free on each device for other programs and for drivers; at most an eighth of what
is free now, for the sake of small models in small containers."""
GPU_EXTRA: Final = 64 * MIB
"""Bytes that kernels allocate on a GPU beside the compute buffer, about."""
RAM: Final = "RAM"


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Settings for llama.cpp. `gpu` None uses all GPUs, -1 no GPU, else the GPU of this index.

    Of `n_slots` replies at once, each may have `n_ctx` tokens; together they have `n_cells`, 0 for
    one conversation's: in one pool if `kv_unified`, else each has its own `n_ctx`. `n_outputs` is
    how many rows of logits an evaluation gives, 0 for one a reply.
    """

    n_gpu_layers: int
    n_ctx: int
    kv_type: str = "f16"
    n_ubatch: int = CPU_UBATCH
    gpu: int | None = None
    tensor_split: tuple[float, ...] = ()
    n_slots: int = 1
    n_cells: int = 0
    n_outputs: int = 0
    kv_unified: bool = True

    @property
    def rows(self) -> int:
        """Rows of logits of an evaluation, at most."""
        return max(self.n_slots, self.n_outputs)

    @property
    def pool(self) -> int:
        """Tokens that the KV cache holds, all slots together."""
        return max(self.n_ctx, self.n_cells)

    @property
    def n_kv(self) -> int:
        """Tokens among which an evaluation looks for those of a sequence."""
        return self.pool if self.kv_unified else self.n_ctx


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a model on a device, in bytes, `free` there; `margin` of these must stay free."""

    device: str
    free: int
    margin: int
    blocks: int = 0
    output: bool = False
    weights: int = 0
    kv: int = 0
    compute: int = 0

    @property
    def used(self) -> int:
        """Bytes that the part takes."""
        return self.weights + self.kv + self.compute

    @property
    def left(self) -> int:
        """Bytes that stay free; negative if the part does not fit."""
        return self.free - self.used

    @property
    def slack(self) -> int:
        """Bytes that stay free beyond the margin."""
        return self.left - self.margin

    @property
    def fits(self) -> bool:
        """Whether the part and the margin fit."""
        return self.slack >= 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A model on a machine: a share for each GPU that is used, and for RAM as the last."""

    model: ModelSizes
    settings: LoadSettings
    shares: tuple[Share, ...]

    @property
    def fits(self) -> bool:
        """Whether every device holds its share."""
        return all(share.fits for share in self.shares)

    @property
    def whole(self) -> bool:
        """Whether all layers are on a GPU."""
        return self.settings.n_gpu_layers >= self.model.n_layers

    @property
    def slack(self) -> int:
        """Bytes that the fullest device has beyond its margin."""
        return min(share.slack for share in self.shares)

    @property
    def where(self) -> str:
        """The devices of the layers: `all in RAM`, `24 of 41 layers on CUDA0`."""
        on_gpu, count = self.settings.n_gpu_layers, self.model.n_layers
        gpus = [share.device for share in self.shares[:-1] if share.blocks or share.output]
        if not gpus:
            return "all in RAM"
        layers = f"all {count} layers" if self.whole else f"{on_gpu} of {count} layers"
        return f"{layers} on {' and '.join(gpus)}"

    @property
    def summary(self) -> str:
        """`where`, and what was saved on the context, for the first line of a chat."""
        at = self.settings
        kv = f", KV cache in {at.kv_type}" if at.kv_type != "f16" else ""
        short = f", context of {at.n_ctx} tokens" if at.n_ctx < DEFAULT_N_CTX else ""
        return f"{self.where}{short}{kv}"


@dataclass(frozen=True, slots=True)
class ComputeBuffers:
    """Bytes of compute buffers by device, measured for `n_ubatch` by a load without weights."""

    n_ubatch: int
    by_device: Mapping[str, int]


def place(
    model: ModelSizes,
    machine: Machine,
    settings: LoadSettings,
    buffers: ComputeBuffers | None = None,
) -> Plan:
    """The plan that given settings make, whether it fits or not.

    Several GPUs get layers in the proportion of what they have free, unless told otherwise; the
    counts are then told to llama.cpp as its `tensor_split`.
    """
    on_gpu = settings.n_gpu_layers
    gpus = [] if settings.gpu == -1 or not on_gpu else list(machine.gpus)
    if settings.gpu is not None and gpus:
        gpus = [gpus[settings.gpu]]
    layers = [*model.blocks, model.output]
    first = len(layers) - on_gpu
    computes = {gpu.name: _gpu_compute(model, settings, gpu, buffers) for gpu in gpus}
    if len(gpus) > 1:
        split = settings.tensor_split
        counts = (
            layers_by_device(on_gpu, split)
            if split
            else _shared(
                layers[first:],
                [_usable(gpu.free) - computes[gpu.name] for gpu in gpus],
                model.kv(1, settings.pool, settings.kv_type) + 1,
            )
        )
        settings = replace(settings, tensor_split=split or tuple(map(float, counts)))
    else:
        counts = [on_gpu] * len(gpus)

    shares, start = [], first
    for gpu, count in zip(gpus, counts, strict=True):
        stop = start + count
        output = start < stop == len(layers)
        blocks = count - output
        kv = model.kv(blocks, settings.pool, settings.kv_type)
        share = Share(
            device=gpu.name,
            free=gpu.free,
            margin=_margin(gpu.free),
            blocks=blocks,
            output=output,
            weights=sum(layers[start:stop]),
            kv=kv,
        )
        shares.append(replace(share, compute=computes[gpu.name] if count else 0))
        start = stop
    unified = sum(share.used for share, gpu in zip(shares, gpus, strict=True) if gpu.unified)
    blocks = min(first, len(model.blocks))
    shares.append(
        _ram(model, machine, settings=settings, blocks=blocks, buffers=buffers, unified=unified)
    )
    return Plan(model, settings, tuple(shares))


def _ram(
    model: ModelSizes,
    machine: Machine,
    settings: LoadSettings,
    blocks: int,
    buffers: ComputeBuffers | None,
    unified: int,
) -> Share:
    """The share of RAM: embedding, first blocks, program. GPUs take `unified` bytes of it."""
    output = not settings.n_gpu_layers
    weights = model.embedding + sum(model.blocks[:blocks])
    weights += model.apart if output else 0
    need = model.process + (
        buffers.by_device.get(RAM, 0)
        if buffers and buffers.n_ubatch == settings.n_ubatch
        else model.compute_buffer(settings.n_kv, settings.n_ubatch if blocks else CPU_UBATCH)
        + model.more_rows(settings.rows)
    )
    free = max(0, machine.available - unified)
    kv = model.kv(blocks, settings.pool, settings.kv_type)
    return Share(
        device=RAM,
        free=free,
        margin=_margin(machine.available),
        blocks=blocks,
        output=output,
        weights=weights,
        kv=kv,
        compute=need,
    )


def _gpu_compute(
    model: ModelSizes, settings: LoadSettings, gpu: Gpu, buffers: ComputeBuffers | None
) -> int:
    if (
        buffers is not None
        and buffers.n_ubatch == settings.n_ubatch
        and gpu.name in buffers.by_device
    ):
        return buffers.by_device[gpu.name] + GPU_EXTRA
    # A long prompt takes the matrices of the blocks in RAM over to the GPU one by one, but not to
    # another machine's.
    lacking = settings.n_gpu_layers < model.n_layers and gpu.backend != "RPC"
    borrowed = max(model.blocks) // 3 if lacking else 0
    compute = model.compute_buffer(settings.n_kv, settings.n_ubatch)
    return compute + model.more_rows(settings.rows) + borrowed + GPU_EXTRA


def _shared(layers: Sequence[int], usable: Sequence[int], kv: int) -> list[int]:
    """The number of layers for each GPU: in proportion, or as many as fit if a GPU has too little.

    Each layer but the last, the output, needs `kv` bytes more.
    """
    room = [max(0, n_bytes) for n_bytes in usable]
    needs = [*(layer + kv for layer in layers[:-1]), layers[-1]]
    ends = list(accumulate(needs, initial=0))
    counts = _proportional(layers, room)
    stops = list(accumulate(counts, initial=0))
    if all(ends[b] - ends[a] <= has for a, b, has in zip(stops, stops[1:], room, strict=False)):
        return counts
    filled, start = [], 0
    for has in room:
        stop = bisect_right(ends, ends[start] + has) - 1
        filled.append(stop - start)
        start = stop
    return filled if start == len(layers) else counts


def _proportional(layers: Sequence[int], room: Sequence[int]) -> list[int]:
    """The number of layers for each GPU: whole layers, up to its share of all bytes."""
    if not sum(room):
        return [len(layers), *[0] * (len(room) - 1)]
    bounds = [sum(layers) * part / sum(room) for part in accumulate(room)]
    counts, running = [0] * len(room), 0
    for layer in layers:
        running += layer
        counts[next((i for i, b in enumerate(bounds) if running <= b + 1), len(room) - 1)] += 1
    return counts


def _margin(free: int) -> int:
    return min(MARGIN, free // 8)


def _usable(free: int) -> int:
    return free - _margin(free)


def with_margin(usable: int) -> int:
    """Bytes that must be free for `usable` bytes to be left beside the margin."""
    return usable + min(MARGIN, usable // 7)
