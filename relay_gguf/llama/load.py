"""Loads a model: checks its file, plans it, makes its context, finds its ChatML tokens."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from relay_gguf.doctor.result import NO_AMX, PLAIN_CPU
from relay_gguf.doctor.verdict import verdict
from relay_gguf.engine import ControlTokens
from relay_gguf.errors import MemoryShortError, ModelError
from relay_gguf.fit.memory import DEFAULT_N_CTX, KV_TYPES, MIB, ModelSizes, padded
from relay_gguf.fit.placement import RAM, ComputeBuffers, LoadSettings, Plan, with_margin
from relay_gguf.fit.plan import N_BATCH, LoadOptions, fit
from relay_gguf.gguf_file.header import MAGIC, readable
from relay_gguf.machine.devices import Machine

from .amx import refuse_amx
from .backends import device_array, usable
from .first_read.first_read import readable_model
from .inventory import this_machine
from .log import LogLines, explain
from .native import lib
from .tokenizer import find_control

TRIES: Final = 4
"""The number of plans that are loaded at most, each smaller than the last."""
STEP: Final = 512 * MIB
"""Bytes less on a device after a load that failed for memory; at most an eighth."""
WORKER_WARM_UP: Final = 32
"""Tokens that a worker evaluates before the model counts as loaded."""
GGML_TYPES: Final = {name: getattr(lib, f"GGML_TYPE_{name.upper()}") for name in KV_TYPES}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model: llama.cpp's handles of the model and its context, and their properties."""

    model: Any
    ctx: Any
    memory: Any
    vocab: Any
    n_vocab: int
    n_ctx: int
    control: ControlTokens
    can_shift: bool
    plan: Plan
    n_tries: int  # more than 1 if memory was short in spite of the plan
    callbacks: tuple[Any, ...]  # C holds pointers to them, Python must not free them


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes that a model would take, as llama.cpp logs them in a load without weights."""

    weights: int
    kv: int
    compute: dict[str, int]  # by buffer: CPU, CUDA0, CUDA_Host


def load(
    path: Path,
    options: LoadOptions,
    *,
    n_threads: int,
    abort: tuple[Any, Any],
    on_progress: Callable[[float], None] | None,
    wanted: Callable[[], bool],
    any_chat: bool = False,
) -> Loaded:
    """Plan and load a model and make its context; with a smaller plan if memory is short.

    Args:
        path: a GGUF file.
        options: of the user.
        n_threads: threads to evaluate with.
        abort: C function and data that tell a running evaluation to stop.
        on_progress: called with the share that is loaded, 0 to 1.
        wanted: called now and then; False ends the load.
        any_chat: whether a model of another chat format than ChatML will do.

    Raises:
        ModelError: the file is broken, of an unknown kind or not a ChatML model.
        MemoryShortError: it does not fit into memory.
        SettingsError: the options do not go with the machine or the model.
    """

    @lib.llama_progress_callback  # type: ignore[untyped-decorator]
    def progress(share: float, _: object) -> bool:
        if on_progress is not None:
            on_progress(share)
        return wanted()

    if verdict().processor is None:
        raise ModelError(
            "This build of llama.cpp does not work on this processor: its self-test ended or gave "
            "wrong numbers. `relay-gguf doctor` shows which, and a command that compiles llama.cpp."
        )
    lib.llama_backend_init()
    model, machine = readable_model(path).sizes(), this_machine(timed=False)
    plan = plan_file(path, model, machine, options)
    ways = _Ways(n_threads, abort, progress, any_chat)
    for attempt in range(1, TRIES):
        try:
            return _load(path, plan, n_tries=attempt, ways=ways)
        except MemoryShortError:
            smaller = _smaller(path, plan, machine, options)
            if smaller is None:
                raise
            plan, machine = smaller
    return _load(path, plan, n_tries=TRIES, ways=ways)


def _smaller(
    path: Path, plan: Plan, machine: Machine, options: LoadOptions
) -> tuple[Plan, Machine] | None:
    """A plan for less memory, and the machine that has so little; None if none fits."""
    for n_steps in range(1, 8):
        less = _less(machine, plan, n_steps)
        try:
            found = plan_file(path, plan.model, less, options)
        except MemoryShortError:
            return None
        if found.settings != plan.settings:
            return found, less
    return None


def plan_file(path: Path, model: ModelSizes, machine: Machine, options: LoadOptions) -> Plan:
    """A plan for a file on this disk; if memory is scarce, with measured compute buffers.

    Raises:
        MemoryShortError, SettingsError: as `fit.plan.fit`.
    """
    if not model.kv_width:  # a kind of memory that the metadata does not tell
        n_ctx = min(DEFAULT_N_CTX, model.n_ctx_train)
        measured = measure(path, LoadSettings(0, n_ctx))
        n_values = 2 * len(model.blocks) * padded(n_ctx)
        model = replace(model, kv_width=measured.kv / n_values if measured and n_values else 0.0)
    plan = fit(model, machine, options)
    if all(share.slack > share.used / 10 for share in plan.shares):
        return plan
    if any(gpu.backend == "RPC" for gpu in machine.gpus):
        return plan  # llama.cpp may not know the workers yet, and would measure another plan
    measured = measure(path, plan.settings)
    return (
        plan if measured is None else fit(model, machine, options, _compute_buffers(measured, plan))
    )


def _compute_buffers(measured: Measured, plan: Plan) -> ComputeBuffers:
    """Compute buffers by device; buffers of no GPU of the plan are in RAM."""
    by_device = dict.fromkeys((share.device for share in plan.shares), 0)
    for buffer, n_bytes in measured.compute.items():
        by_device[buffer if buffer in by_device else RAM] += n_bytes
    return ComputeBuffers(plan.settings.n_ubatch, by_device)


def _less(machine: Machine, plan: Plan, n_steps: int) -> Machine:
    """The machine with less memory than a failed plan used: on its GPUs, or in RAM without."""
    room = {
        share.device: with_margin(share.used - n_steps * min(STEP, share.used // 8))
        for share in plan.shares
    }
    if not plan.settings.n_gpu_layers:
        return replace(machine, available=min(machine.available, room[RAM]))
    gpus = [replace(gpu, free=min(gpu.free, room.get(gpu.name, 0))) for gpu in machine.gpus]
    return replace(machine, gpus=tuple(gpus))


@dataclass(frozen=True, slots=True)
class _Ways:
    """What each attempt of a load has in common."""

    n_threads: int
    abort: tuple[Any, Any]
    progress: Any
    any_chat: bool


def _load(path: Path, plan: Plan, n_tries: int, ways: _Ways) -> Loaded:
    settings = plan.settings
    with LogLines() as lines:
        params = model_params(settings)
        params.progress_callback = ways.progress
        if not settings.n_gpu_layers:
            # For a CPU most quantized weights are repacked into a copy: decoding is a quarter
            # faster. A mapped file would stay in memory beside it; a read one does not.
            params.load_mode = lib.LLAMA_LOAD_MODE_NONE
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            raise explain(path, lines.lines)
        try:
            vocab = lib.llama_model_get_vocab(model)
            control = find_control(path, model, vocab, any_chat=ways.any_chat)
            context = context_params(settings)
            context.n_threads = context.n_threads_batch = ways.n_threads
            context.abort_callback, context.abort_callback_data = ways.abort
            ctx = lib.llama_init_from_model(model, context)
            if not ctx:
                raise explain(path, lines.lines, n_ctx=context.n_ctx)
        except BaseException:
            lib.llama_model_free(model)
            raise
    loaded = Loaded(
        model=model,
        ctx=ctx,
        memory=lib.llama_get_memory(ctx),
        vocab=vocab,
        n_vocab=int(lib.llama_vocab_n_tokens(vocab)),
        n_ctx=min(int(lib.llama_n_ctx(ctx)), int(lib.llama_model_n_ctx_train(model))),
        control=control,
        # A recurrent state says that it can, and forgets nothing.
        can_shift=bool(lib.llama_memory_can_shift(lib.llama_get_memory(ctx)))
        and not lib.llama_model_is_recurrent(model)
        and not lib.llama_model_is_hybrid(model),
        plan=plan,
        n_tries=n_tries,
        callbacks=(ways.progress, ways.abort),
    )
    if settings.n_gpu_layers:
        _warm_up(path, loaded)
    return loaded


def _warm_up(path: Path, loaded: Loaded) -> None:
    """Evaluate a batch and forget it: a GPU's kernels allocate their memory at the first batch.

    A worker may be a slow CPU: it evaluates only a few tokens.

    Raises:
        MemoryShortError: there was not enough memory; the model is freed.
    """
    n_tokens = min(loaded.plan.settings.n_ubatch, int(lib.llama_n_ctx_seq(loaded.ctx)))
    if any(share.device.startswith("RPC") for share in loaded.plan.shares):
        n_tokens = WORKER_WARM_UP
    tokens = (lib.llama_token * n_tokens)(*[max(0, loaded.control.im_start)] * n_tokens)
    status = lib.llama_decode(loaded.ctx, lib.llama_batch_get_one(tokens, n_tokens))
    lib.llama_memory_clear(loaded.memory, True)
    if status not in (0, 2):  # 2: Ctrl-C
        free(loaded)
        raise MemoryShortError(
            f"The first evaluation of {path} failed (llama_decode returned {status}). Take a "
            "smaller quantization, --n-ctx or --n-gpu-layers."
        )


def free(loaded: Loaded) -> None:
    """Free a model and its context."""
    lib.llama_free(loaded.ctx)
    lib.llama_model_free(loaded.model)


def check_file(path: Path) -> None:
    """Refuse a file that is not a GGUF file, before anything is loaded.

    Raises:
        ModelError: the file is not there, cannot be read, or does not begin with `MAGIC`.
    """
    with readable(path), path.open("rb") as file:
        magic = file.read(4)
    if magic != MAGIC:
        raise ModelError(
            f"{path} is not a GGUF file (it begins with {magic!r}). A model in another format must "
            "be converted to GGUF first."
        )


def measure(path: Path, settings: LoadSettings) -> Measured | None:
    """Bytes that a model would take, by a load that reads no weights; None if that fails."""
    with LogLines() as lines:
        params = model_params(settings)
        params.no_alloc, params.load_mode = True, lib.LLAMA_LOAD_MODE_NONE
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            return None
        ctx = lib.llama_init_from_model(model, context_params(settings))
        weights = int(lib.llama_model_size(model))
        if ctx:
            lib.llama_free(ctx)
        lib.llama_model_free(model)
        return Measured(weights, lines.kv, lines.compute) if ctx else None


def model_params(settings: LoadSettings) -> Any:
    params = lib.llama_model_default_params()
    params.n_gpu_layers = settings.n_gpu_layers
    found = verdict()
    params.use_extra_bufts = found.processor != PLAIN_CPU
    if found.processor == NO_AMX:
        refuse_amx()
    if found.broken:
        params.chosen = device_array([device.name for device in usable()])  # kept as long as params
        params.devices = ctypes.cast(params.chosen, ctypes.c_void_p)
    if settings.gpu is not None:
        params.split_mode, params.main_gpu = lib.LLAMA_SPLIT_MODE_NONE, settings.gpu
    elif settings.tensor_split:
        room = max(
            lib.llama_max_devices(), len(settings.tensor_split)
        )  # llama.cpp reads one a device
        params.tensor_split = (ctypes.c_float * room)(*settings.tensor_split)
    return params


def context_params(settings: LoadSettings) -> Any:
    """A context for one conversation, or for many."""
    params = lib.llama_context_default_params()
    params.n_ctx = padded(settings.pool)
    params.n_seq_max = settings.n_slots
    params.kv_unified = settings.n_slots > 1 and settings.kv_unified
    params.n_batch, params.n_ubatch = N_BATCH, settings.n_ubatch
    params.type_k = params.type_v = GGML_TYPES[settings.kv_type]
    params.n_outputs_max = settings.rows  # a row each; more would treble the compute buffer
    params.flash_attn_type = -1  # auto
    return params
