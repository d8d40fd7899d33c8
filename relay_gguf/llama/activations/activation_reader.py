"""A model in memory that reads chunks of tokens, and tells what went into its matrices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.errors import EngineError, ModelError
from relay_gguf.fit.memory import N_CTX_STEP
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.first_read.first_read import readable_model
from relay_gguf.llama.inventory import this_machine
from relay_gguf.llama.load import model_params, plan_file
from relay_gguf.llama.log import LogLines, explain
from relay_gguf.llama.native import lib
from relay_gguf.llama.tokenizer import added_bos, tokenize
from relay_gguf.machine.cpu import physical_cores
from relay_gguf.machine.devices import Machine

from .collector import Collector, Sums
from .ggml_tensor import CALLBACK, check_layout


class ActivationReader:
    """A GGUF file in memory, whatever its vocabulary; close it, or use it in a `with` block."""

    def __init__(
        self,
        path: Path,
        n_ctx: int,
        options: LoadOptions | None = None,
        *,
        n_threads: int | None = None,
    ) -> None:
        """Load a model.

        Args:
            path: a GGUF file.
            n_ctx: tokens of a chunk.
            options: layers on the GPU and the like.
            n_threads: threads of the CPU; None for one for each physical core.

        Raises:
            ModelError: the file is broken, has no vocabulary, or llama.cpp cannot read it.
            MemoryShortError: it does not fit into memory.
            SettingsError: the options do not go with the machine or the model.
            EngineError: llama.cpp is another release than this one knows.
        """
        check_layout()
        lib.llama_backend_init()
        sizes = readable_model(path).sizes()
        machine = _less(this_machine(timed=False), 8 * n_ctx * sizes.n_vocab)
        options = replace(options or LoadOptions(), n_ctx=max(n_ctx, N_CTX_STEP), kv_type="f16")
        settings = plan_file(path, sizes, machine, options).settings
        self.n_ctx = n_ctx
        self._stop = Event()
        self._collector = Collector(self._stop.is_set)
        self._callback = CALLBACK(self._collector)  # C has a pointer to it
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="activations")
        with LogLines() as lines:
            params = model_params(settings)
            if not settings.n_gpu_layers:
                params.load_mode = lib.LLAMA_LOAD_MODE_NONE
            self._model: Any = lib.llama_model_load_from_file(os.fsencode(path), params)
            if not self._model:
                raise explain(path, lines.lines)
            self._vocab = lib.llama_model_get_vocab(self._model)
            context = lib.llama_context_default_params()
            context.n_ctx = context.n_batch = context.n_ubatch = n_ctx
            context.n_threads = context.n_threads_batch = n_threads or physical_cores()
            context.flash_attn_type = -1  # auto
            context.cb_eval = self._callback
            self._ctx: Any = lib.llama_init_from_model(self._model, context)
            if not self._ctx:
                lib.llama_model_free(self._model)
                raise explain(path, lines.lines, n_ctx=n_ctx)
        if lib.llama_vocab_type(self._vocab) == lib.LLAMA_VOCAB_TYPE_NONE:
            self.close()
            raise ModelError(f"{path} has no vocabulary, so that no text can be read with it.")
        self._memory = lib.llama_get_memory(self._ctx)

    @property
    def bos(self) -> int | None:
        """The token that the file wants before a text; None if it wants none."""
        return added_bos(self._vocab)

    @property
    def control(self) -> tuple[int, int] | None:
        """The tokens that begin and end a message of ChatML; None if the vocabulary has none."""
        found = [self.tokenize(text, parse_special=True) for text in (IM_START, IM_END)]
        return (found[0][0], found[1][0]) if all(len(ids) == 1 for ids in found) else None

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """The ids of a text; with `parse_special`, texts of control tokens become these tokens."""
        return tokenize(self._vocab, text, parse_special=parse_special)

    def read(self, chunk: Sequence[int]) -> Sums:
        """Read a chunk, and return the sums of what went into each weight.

        Its first token is replaced by the file's BOS where it wants one, as llama.cpp does it.
        Ctrl-C ends it at once.

        Args:
            chunk: `n_ctx` tokens.

        Raises:
            EngineError: llama.cpp failed, or what went into a weight is not finite.
        """
        tokens = list(chunk) if self.bos is None else [self.bos, *chunk[1:]]
        # Not on the main thread: there Ctrl-C may come while C calls us, and would be lost.
        running = self._pool.submit(self._evaluate, tokens)
        try:
            status = running.result()
        except BaseException:
            self._stop.set()
            running.exception()
            raise
        sums = self._collector.take()
        if status:
            raise EngineError(
                f"llama.cpp could not evaluate {len(tokens)} tokens (llama_decode returned "
                f"{status}). --debug shows its log."
            )
        return sums

    def close(self) -> None:
        """Free the model; a second call does nothing."""
        self._stop.set()
        self._pool.shutdown()
        if self._ctx:
            lib.llama_free(self._ctx)
            lib.llama_model_free(self._model)
            self._ctx = None

    def __enter__(self) -> ActivationReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _evaluate(self, tokens: Sequence[int]) -> int:
        lib.llama_memory_clear(self._memory, True)
        count = len(tokens)
        batch = lib.llama_batch_init(count, 0, 1)
        try:
            for index, token in enumerate(tokens):
                batch.token[index], batch.pos[index] = token, index
                batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
                batch.logits[index] = 1  # or the last block would see the last token alone
            batch.n_tokens = count
            status = int(lib.llama_decode(self._ctx, batch))
            lib.llama_synchronize(self._ctx)
        finally:
            lib.llama_batch_free(batch)
        return status


def _less(machine: Machine, n_bytes: int) -> Machine:
    """The machine without the memory of a row of logits for each token, and of their copy."""
    gpus = tuple(replace(gpu, free=max(0, gpu.free - n_bytes)) for gpu in machine.gpus)
    return replace(machine, available=max(0, machine.available - n_bytes), gpus=gpus)
