"""The settings with which a model fits: layers on GPUs, context, KV cache, batches.

In order of preference: the whole model on the GPU with 4096 tokens of context; less
context, down to 2048; a KV cache in q8_0; fewer layers on the GPU, the others in RAM; RAM alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from relay_gguf.errors import MemoryShortError, SettingsError
from relay_gguf.machine.devices import Gpu, Machine

from .memory import DEFAULT_N_CTX, KV_TYPES, N_CTX_STEP, ModelSizes, binary, padded
from .placement import ComputeBuffers, LoadSettings, Plan, place

LEAST_N_CTX: Final = 2048
"""Tokens: the planner makes no context smaller than this."""
N_BATCH: Final = 512
"""Tokens of a prompt that llama.cpp is given at once, at most."""
GPU_UBATCH: Final = 512
"""Tokens that a GPU evaluates at once: fewer would leave it idle."""
MAX_SLOTS: Final = 256
"""Replies at once: llama.cpp has no more sequences (LLAMA_MAX_SEQ)."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """The user's decisions on loading a model; None leaves a value to the planner.

    `n_slots` is how many replies are generated at once by a `BatchEngine`; each may have `n_ctx`
    tokens, and all together `n_cells`: as many as all of them can use, or less where memory is
    short. With `kv_unified` these are one pool, in which replies share what they begin with.
    Without it each has a cache of its own, which is quicker where each is of another conversation;
    but only where memory has room for `n_slots` whole contexts, else it is a pool all the same.
    `n_outputs` is how many rows of logits an evaluation gives; 0 is one a reply.
    """

    n_ctx: int | None = None
    n_gpu_layers: int | None = None
    kv_type: str | None = None
    main_gpu: int | None = None
    tensor_split: tuple[float, ...] | None = None
    no_gpu: bool = False
    workers: tuple[str, ...] = ()  # HOST[:PORT]; their devices count as GPUs, before the own ones
    n_slots: int = 1
    n_cells: int | None = None
    n_outputs: int = 0
    kv_unified: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.n_slots <= MAX_SLOTS:
            raise SettingsError(f"n_slots is {self.n_slots}; it must be 1 to {MAX_SLOTS}.")
        if self.n_cells is not None and self.n_cells < max(N_CTX_STEP, self.n_ctx or 0):
            least = max(N_CTX_STEP, self.n_ctx or 0)
            raise SettingsError(f"n_cells is {self.n_cells}; it must be {least} or more.")
        if self.n_ctx is not None and self.n_ctx < N_CTX_STEP:
            raise SettingsError(f"n_ctx is {self.n_ctx}; it must be {N_CTX_STEP} or more.")
        if self.kv_type is not None and self.kv_type not in KV_TYPES:
            known = ", ".join(KV_TYPES)
            raise SettingsError(f"kv_type is {self.kv_type!r}; it must be one of {known}.")
        split = self.tensor_split
        if split is not None and (not split or min(split) < 0 or not 1e-3 < sum(split) < 1e9):
            raise SettingsError("tensor_split must be one share for each GPU, like 3,1.")
        if self.no_gpu and (self.n_gpu_layers or split or self.main_gpu is not None):
            raise SettingsError(
                "--no-gpu leaves no layer for a GPU: give only one of these options."
            )
        if self.no_gpu and self.workers:
            raise SettingsError(
                "--no-gpu leaves nothing for a worker: give only one of these options."
            )


def fit(
    model: ModelSizes, machine: Machine, options: LoadOptions, buffers: ComputeBuffers | None = None
) -> Plan:
    """The best plan that fits.

    Args:
        model: its sizes.
        machine: with its free memory.
        options: the user's, which the plan keeps.
        buffers: measured compute buffers; None to estimate them.

    Raises:
        MemoryShortError: no settings fit; says which options would.
        SettingsError: the options do not go with this machine or model.
    """
    best = None
    for settings in ladder(model, machine, options):
        plan = place(model, machine, settings, buffers)
        if plan.fits:
            return plan
        if best is None or plan.slack > best.slack:
            best = plan
    if best is None:
        raise MemoryShortError(f"{model.name} has no layers.")
    raise MemoryShortError(_refusal(best, machine, options, buffers))


def ladder(model: ModelSizes, machine: Machine, options: LoadOptions) -> Iterator[LoadSettings]:
    """The settings to try, the best first.

    Raises:
        SettingsError: as `fit`.
    """
    _check(model, machine, options)
    memories = list(_memories(model, options))
    count = model.n_layers if options.n_gpu_layers is None else options.n_gpu_layers
    most = min(count, model.n_layers) if count >= 0 else model.n_layers
    gpus = () if options.no_gpu else _used(machine, options)
    if gpus and most:
        for memory in memories:
            yield _settings(options, most, memory)
    if gpus and options.n_gpu_layers is None:
        for memory in memories:
            for n_gpu_layers in range(most - 1, 0, -1):
                yield _settings(options, n_gpu_layers, memory)
    if not gpus or options.n_gpu_layers in (None, 0):
        for n_ctx, kv_type, n_cells in memories:
            yield LoadSettings(
                0,
                n_ctx,
                kv_type,
                gpu=-1 if machine.gpus else None,
                n_slots=options.n_slots,
                n_cells=n_cells,
                n_outputs=options.n_outputs,
                kv_unified=_is_unified(options, n_ctx, n_cells),
            )


def _memories(model: ModelSizes, options: LoadOptions) -> Iterator[tuple[int, str, int]]:
    """Context lengths with types of KV cache and tokens of all slots together, the best first."""
    most = min(options.n_ctx or DEFAULT_N_CTX, model.n_ctx_train)
    least = most if options.n_ctx else min(LEAST_N_CTX, most)
    usual = ("f16", "q8_0") if model.blocks_of_32 else ("f16",)
    for kv_type in (options.kv_type,) if options.kv_type else usual:
        for n_cells in _pools(most, options):
            yield most, kv_type, n_cells
        for n_ctx in range(padded(most) - N_CTX_STEP, least - 1, -N_CTX_STEP):
            yield n_ctx, kv_type, options.n_cells or 0


def _pools(n_ctx: int, options: LoadOptions) -> Iterator[int]:
    """Tokens that all slots may have together, the best first; 0 is one context's."""
    if options.n_cells is not None or options.n_slots == 1:
        yield options.n_cells or 0
        return
    n_full = options.n_slots
    if not options.kv_unified:
        yield n_full * padded(n_ctx)
    while n_full > 1:
        yield padded(n_full * n_ctx)
        n_full //= 2
    yield 0


def _is_unified(options: LoadOptions, n_ctx: int, n_cells: int) -> bool:
    """Whether the cache is one pool: also where it is too small for a context of each slot."""
    apart = options.n_slots > 1 and n_cells >= options.n_slots * padded(n_ctx)
    return options.kv_unified or not apart


def _settings(
    options: LoadOptions, n_gpu_layers: int, memory: tuple[int, str, int]
) -> LoadSettings:
    n_ctx, kv_type, n_cells = memory
    return LoadSettings(
        n_gpu_layers=n_gpu_layers,
        n_ctx=n_ctx,
        kv_type=kv_type,
        n_ubatch=GPU_UBATCH,
        gpu=options.main_gpu,
        tensor_split=options.tensor_split or (),
        n_slots=options.n_slots,
        n_cells=n_cells,
        n_outputs=options.n_outputs,
        kv_unified=_is_unified(options, n_ctx, n_cells),
    )


def _used(machine: Machine, options: LoadOptions) -> tuple[Gpu, ...]:
    return machine.gpus if options.main_gpu is None else (machine.gpus[options.main_gpu],)


def _check(model: ModelSizes, machine: Machine, options: LoadOptions) -> None:
    n_gpus = len(machine.gpus)
    if options.n_ctx is not None and options.n_ctx > model.n_ctx_train:
        raise SettingsError(
            f"{model.name} takes at most {model.n_ctx_train} tokens, --n-ctx asks for "
            f"{options.n_ctx}. Take --n-ctx {model.n_ctx_train} or less."
        )
    if options.kv_type not in (None, "f16") and not model.blocks_of_32:
        raise SettingsError(
            f"{model.name} cannot have a KV cache of type {options.kv_type}: its heads are not "
            "made of blocks of 32 values. Take --kv-type f16."
        )
    wants_gpu = bool(options.n_gpu_layers) or options.main_gpu is not None
    if (wants_gpu or options.tensor_split) and not n_gpus:
        raise SettingsError(
            "The options put layers on a GPU, but this build of llama.cpp finds no GPU. "
            + (machine.advice or "`relay-gguf devices` lists the devices.")
        )
    if options.main_gpu is not None and not 0 <= options.main_gpu < n_gpus:
        raise SettingsError(
            f"There is no GPU {options.main_gpu}: `relay-gguf devices` lists 0 to {n_gpus - 1}."
        )
    if options.tensor_split is not None and len(options.tensor_split) != n_gpus:
        raise SettingsError(
            f"--tensor-split has {len(options.tensor_split)} shares for {n_gpus} GPUs."
        )


def _refusal(
    best: Plan, machine: Machine, options: LoadOptions, buffers: ComputeBuffers | None
) -> str:
    """The error text: what the plan that came nearest lacks, and which options would fit."""
    short = min(best.shares, key=lambda share: share.slack)
    at = best.settings
    layers = f"{at.n_gpu_layers} of {best.model.n_layers} layers on a GPU and "
    said = (
        f"{best.model.name} does not fit: with {layers if machine.gpus else ''}{at.n_ctx} tokens "
        f"of context in {at.kv_type} it needs {binary(short.used)} of {short.device} "
        f"({binary(short.weights)} weights, {binary(short.kv)} context, "
        f"{binary(short.compute)} compute buffer), but {binary(short.free)} are free, and "
        f"{binary(short.margin)} of these are kept for other programs."
    )
    with suppress(MemoryShortError):
        if options != LoadOptions():
            free = fit(best.model, machine, LoadOptions(), buffers)
            return f"{said} This would do: {flags(free)}."
    return f"{said} Take a smaller quantization of the model."


def flags(plan: Plan) -> str:
    """A plan as options of the command line."""
    at = plan.settings
    layers = "--no-gpu " if at.gpu == -1 else f"--n-gpu-layers {at.n_gpu_layers} "
    on_gpu = layers if len(plan.shares) > 1 or at.gpu == -1 else ""
    return f"{on_gpu}--n-ctx {at.n_ctx}" + f" --kv-type {at.kv_type}" * (at.kv_type != "f16")
