"""The self-test's child process: announces and evaluates a tiny model on each device, and may die.

Run by `doctor.self_test` as `python -m relay_gguf.llama.trial OPTIONS`, with a JSON object of
options; it prints JSON objects, one on each line.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from relay_gguf.child import end_with_parent, replies
from relay_gguf.doctor import tiny_model
from relay_gguf.doctor.result import FAR_OFF, NO_AMX, PLAIN_CPU, PROCESSOR
from relay_gguf.errors import RelayError
from relay_gguf.machine.cpu import physical_cores

Say = Callable[..., None]
N_TOKENS: Final = 40
"""Tokens of the batch: more than the rows of any tile of a matrix kernel."""


def main() -> None:
    """Try the devices that the options ask for."""
    options = json.loads(sys.argv[1])
    out = replies()

    def say(**line: Any) -> None:
        out.write(json.dumps(line).encode() + b"\n")
        out.flush()

    try:
        _try_all(options, say)
    except Exception as error:  # a full disk, too little memory: nothing that a device did
        why = f"The self-test cannot be run: {type(error).__name__}: {error}."
        say(trouble=str(error) if isinstance(error, RelayError) else why)
    os._exit(0)  # not through the destructors of drivers: what they do at exit is not asked


def _try_all(options: dict[str, Any], say: Say) -> None:
    say(stage="import", doing="loading its library")
    from . import backends, rpc
    from .amx import refuse_amx

    end_with_parent()  # on Windows, no library can be loaded while a thread reads stdin
    for address in options["workers"]:
        say(stage="workers", doing=f"connecting with {address}")
        rpc.add_server(address)
    say(stage="devices", doing="looking for devices")
    found = {device.name: device for device in backends.used(backends.devices())}
    for name in [*options["processor"], *found]:
        if name not in options["skip"]:
            gpu = found.get(name)
            what = gpu.description if gpu else backends.cpu()
            known = {"description": what, "backend": gpu.backend if gpu else "CPU"}
            say(stage="device", device=name, doing="beginning", known=known)
            if name == NO_AMX:  # the first one in this process, or it would be without effect
                refuse_amx()
            say(result=_tried(name, Path(options["folder"]), say))


def _tried(name: str, folder: Path, say: Say) -> dict[str, Any]:
    """The result of all types on a device: the worst error and times, or llama.cpp's message."""
    worst: dict[str, Any] = {"outcome": "works", "error": 0.0, "batch": 0.0, "token": 0.0}
    worst |= {"buffers": [], "detail": ""}
    for ggml_type in tiny_model.TYPES:
        model = tiny_model.make(ggml_type)
        path = tiny_model.write(model, folder / f"{ggml_type}.gguf")
        rng = np.random.default_rng(tiny_model.SEED)
        tokens = [int(token) for token in rng.integers(0, tiny_model.N_VOCAB, N_TOKENS + 1)]
        right = tiny_model.logits(model, tokens)[[N_TOKENS - 1, N_TOKENS]]
        evaluated: list[Any] = []
        for step, value in _evaluated(name, path, tokens):
            if step == "failed":
                return {**worst, "outcome": "failed", "detail": f"{ggml_type}: {value}"}
            if step == "doing":
                say(doing=f"{value} of {ggml_type}")
            else:
                worst["buffers"] = sorted({*worst["buffers"], *value["buffers"]})
                worst["batch"] = max(worst["batch"], value["batch"])
                worst["token"] = max(worst["token"], value["token"])
                evaluated = value["logits"]
        for got, wanted in zip(evaluated, right, strict=True):
            error = float(np.sqrt(np.mean((got - wanted) ** 2) / wanted.var()))
            error = min(error, FAR_OFF) if error == error else FAR_OFF  # NaN is as wrong as any
            if error > worst["error"]:
                worst |= {"error": error, "detail": ggml_type}
    return worst


def _evaluated(name: str, path: Path, tokens: list[int]) -> Iterator[tuple[str, Any]]:
    """Load a model on a device and evaluate all tokens but the last, then the last.

    Yields ("doing", its next step), and at last ("done", logits and times) or ("failed", why).
    """
    from .backends import device_array
    from .log import LogLines
    from .native import lib

    on_gpu = name not in PROCESSOR
    params = lib.llama_model_default_params()
    chosen = device_array([name] if on_gpu else [])
    params.devices = ctypes.cast(chosen, ctypes.c_void_p)
    params.n_gpu_layers = -1 if on_gpu else 0
    params.load_mode = lib.LLAMA_LOAD_MODE_NONE
    params.use_extra_bufts = name != PLAIN_CPU
    yield "doing", "loading"
    with LogLines() as lines:
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        settings = lib.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = 256, 64, 64
        settings.n_threads = settings.n_threads_batch = physical_cores()
        settings.flash_attn_type = -1
        ctx = lib.llama_init_from_model(model, settings) if model else None
    if not ctx:
        yield "failed", next((line for level, line in lines.lines if level >= 4), "no reason given")
        return
    out: dict[str, Any] = {"buffers": lines.weights, "logits": []}
    for turn in range(2):  # the first one may compile kernels
        lib.llama_memory_clear(lib.llama_get_memory(ctx), True)
        for key, what, ids in (
            ("batch", "several tokens", tokens[:-1]),
            ("token", "one token", tokens[-1:]),
        ):
            yield "doing", what
            began = time.perf_counter()
            array = (lib.llama_token * len(ids))(*ids)
            status = lib.llama_decode(ctx, lib.llama_batch_get_one(array, len(ids)))
            if status:
                yield "failed", f"llama_decode returned {status} at {what}"
                return
            row = np.ctypeslib.as_array(lib.llama_get_logits_ith(ctx, -1), (tiny_model.N_VOCAB,))
            out[key] = time.perf_counter() - began
            if turn == 0:
                out["logits"].append(row.copy())
    lib.llama_free(ctx)
    lib.llama_model_free(model)
    yield "done", out


if __name__ == "__main__":
    main()
