"""The engine: llama.cpp through its low-level API. The only file that imports llama_cpp to infer.

The `Llama` class of llama-cpp-python is not used: it cannot shift its cache, cancel, ask for flash
attention "auto" or say why a model did not load, and its work buffers are three times as large.

One thread owns the context, since llama.cpp is not thread-safe and since Ctrl-C reaches only the
main thread, and only between C calls: the worker evaluates, the caller waits on a queue.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import logging
import queue
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import llama_cpp as lib
import numpy as np

from .devices import available_memory, physical_cores
from .engine import ControlTokens, Finished, FinishReason, Prefilled, Prefilling, Step, Token
from .errors import EngineError, ModelError
from .llama_log import LogLines, explain
from .memory import MemoryNeed, require
from .prompt import IM_END, IM_START
from .sampling import SamplingParams, distribution, draw_seed, pick

DEFAULT_N_CTX = 4096
"""What Relay was trained on. Headers lie: Mistral-Nemo's says 1,024,000."""
N_CTX_STEP = 256
"""llama.cpp pads a context to a multiple of this (src/llama-context.cpp)."""
N_BATCH = 512
MAX_KV_PER_TOKEN = 1 << 20
"""Bytes of KV cache for a token: more than any published model of this kind has."""

log = logging.getLogger(__name__)


class LlamaEngine:
    """A GGUF file in memory, with a context of `n_ctx` tokens."""

    def __init__(
        self,
        path: str | Path,
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int = -1,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Load a model; Ctrl-C stops it at once.

        Args:
            path: a GGUF file.
            n_ctx: tokens, rounded up to a multiple of 256; None is 4096, or fewer where the model
                was trained on fewer.
            n_threads: None is one for each physical core.
            n_gpu_layers: layers to put on a GPU, if this build of llama.cpp has one; -1 is all.
            on_progress: called from another thread with the share that is loaded, 0 to 1.

        Raises:
            ModelError: the file is missing, broken, of an unknown kind or not a ChatML model.
            MemoryShortError: it does not fit into memory.
        """
        self._path = Path(path)
        check_file(self._path)
        self.n_threads = n_threads or physical_cores()
        self._model: Any = None
        self._ctx: Any = None
        self._closing = False
        self._fingerprint: str | None = None
        self._past: list[int] = []  # token ids whose K and V are in the cache, by position
        self._piece = ctypes.create_string_buffer(512)
        self._flag = ctypes.create_string_buffer(2)
        self._abort = _abort_callback(self._flag)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="relay-llama")
        atexit.register(self.close)
        try:
            loading = self._worker.submit(self._load, n_ctx, n_gpu_layers, on_progress)
            _wait(loading)
        except BaseException:
            self.cancel()
            self.close()
            raise

    # What a model is

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self._path.stem

    @property
    def n_ctx(self) -> int:
        """Tokens that a prompt and its reply may have together."""
        return self._n_ctx

    @property
    def control(self) -> ControlTokens:
        """The tokens that frame a turn."""
        return self._control

    @property
    def vocabulary(self) -> str:
        """SHA-256 over all tokens' texts, hexadecimal."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for token in range(self._n_vocab):
                digest.update(lib.llama_vocab_get_text(self._vocab, token) or b"")
                digest.update(b"\0")
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def tokenize(self, text: str) -> list[int]:
        """The ids of `text`, in which control tokens are plain text; no BOS."""
        return self._tokenize(text, parse_special=False)

    def piece(self, token: int) -> bytes:
        """The bytes of a token, whatever their number; nothing for a control token."""
        size = lib.llama_token_to_piece(self._vocab, token, self._piece, len(self._piece), 0, False)
        if size < 0:
            self._piece = ctypes.create_string_buffer(-size)
            return self.piece(token)
        return self._piece.raw[:size]

    def _tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")  # a lone surrogate from a broken terminal
        room = len(data) + 2
        ids = (lib.llama_token * room)()
        count = lib.llama_tokenize(self._vocab, data, len(data), ids, room, False, parse_special)
        if count < 0:
            raise EngineError(f"llama.cpp cannot tokenize a text of {len(data)} bytes.")
        return list(ids[:count])

    # Generating

    def generate(self, prompt: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Evaluate what is new in `prompt` (token ids), then yield tokens, and `Finished` at last.

        The same seed gives the same tokens while the cache had the same history: llama.cpp's
        results depend a little on how a prompt was cut into batches.

        Raises:
            EngineError: the prompt is empty or does not fit, or llama.cpp failed.
        """
        if self._closing:
            raise EngineError("The model is closed.")
        if not 0 < len(prompt) < self._n_ctx:
            raise EngineError(f"A prompt of {len(prompt)} tokens: n_ctx is {self._n_ctx}.")
        steps: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        running = self._worker.submit(self._run, list(prompt), params, steps)
        try:
            while (step := _next(steps)) is not None:
                yield step
            running.result()
        finally:
            if not running.done():
                self.cancel()
                _wait(running, swallow=True)
            self._flag[0] = b"\0"

    def cancel(self) -> None:
        """End the generation in flight, from any thread; without one, the next."""
        self._flag[0] = b"\1"

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        """Remove `prompt[start:stop]` from the cache and move what follows up.

        The moved keys are rotated to their new positions; their values still carry what the
        removed text said, so that logits differ a little from a fresh evaluation.
        """
        return self._worker.submit(self._shift, list(prompt[:stop]), start).result()

    def close(self) -> None:
        """Free the model. Metal aborts a process that ends with a model loaded."""
        if self._closing:
            return
        self._closing = True
        self.cancel()
        atexit.unregister(self.close)
        self._worker.submit(self._free).result()
        self._worker.shutdown()

    def __enter__(self) -> LlamaEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # From here on: the worker's side

    def _load(
        self, n_ctx: int | None, n_gpu_layers: int, on_progress: Callable[[float], None] | None
    ) -> None:
        with LogLines() as lines:
            lib.llama_backend_init()
            self._check_memory(n_ctx or DEFAULT_N_CTX)

            @lib.llama_progress_callback  # type: ignore[untyped-decorator]
            def progress(share: float, _: object) -> bool:
                if on_progress is not None:
                    on_progress(share)
                return self._flag[0] == b"\0"

            params = lib.llama_model_default_params()
            params.n_gpu_layers = n_gpu_layers
            params.progress_callback = progress
            self._model = lib.llama_model_load_from_file(str(self._path).encode(), params)
            if not self._model:
                raise explain(self._path, lines.lines)
            self._vocab = lib.llama_model_get_vocab(self._model)
            self._n_vocab = lib.llama_vocab_n_tokens(self._vocab)
            self._control = self._find_control()

            trained = lib.llama_model_n_ctx_train(self._model)
            if n_ctx is not None and n_ctx > trained:
                raise ModelError(
                    f"{self._path} reads at most {trained} tokens, --n-ctx asks for {n_ctx}. "
                    f"Take --n-ctx {trained} or less."
                )
            context = lib.llama_context_default_params()
            wanted = n_ctx or min(DEFAULT_N_CTX, trained)
            context.n_ctx = -(-wanted // N_CTX_STEP) * N_CTX_STEP
            context.n_batch = context.n_ubatch = N_BATCH
            context.n_outputs_max = 1  # one row of logits: a third of the work space
            context.n_threads = context.n_threads_batch = self.n_threads
            context.flash_attn_type = -1  # auto
            context.abort_callback, context.abort_callback_data = self._abort
            self._ctx = lib.llama_init_from_model(self._model, context)
            if not self._ctx:
                raise explain(self._path, lines.lines, n_ctx=context.n_ctx)
            self._n_ctx = int(lib.llama_n_ctx(self._ctx))
            self._memory = lib.llama_get_memory(self._ctx)

    def _check_memory(self, n_ctx: int) -> None:
        """Refuse what would only swap. On a GPU llama.cpp itself says what does not fit."""
        size = self._path.stat().st_size
        available = available_memory()
        roomy = available is None or 2 * size + n_ctx * MAX_KV_PER_TOKEN < available
        if available is None or roomy or lib.llama_supports_gpu_offload():
            return
        need = measure(self._path, n_ctx)
        if need is not None:
            require(need, available, str(self._path), n_ctx)

    def _find_control(self) -> ControlTokens:
        found = {text: self._tokenize(text, parse_special=True) for text in (IM_START, IM_END)}
        missing = [text for text, ids in found.items() if len(ids) != 1]
        if missing:
            raise ModelError(
                f"{self._path} has no {' and no '.join(missing)} in its vocabulary. Relay speaks "
                "ChatML: take a Relay model, or another one that was trained with these tokens."
            )
        if not lib.llama_model_has_decoder(self._model) or lib.llama_model_has_encoder(self._model):
            raise ModelError(f"{self._path} is an encoder; chatting needs a decoder-only model.")
        (im_start,), (im_end,) = found[IM_START], found[IM_END]
        if not lib.llama_vocab_get_add_bos(self._vocab):
            return ControlTokens(im_start, im_end)
        bos = int(lib.llama_vocab_bos(self._vocab))
        text = lib.llama_vocab_get_text(self._vocab, bos) or b""
        return ControlTokens(im_start, im_end, bos, text.decode("utf-8", "replace"))

    def _run(
        self, prompt: list[int], params: SamplingParams, steps: queue.SimpleQueue[Step | None]
    ) -> None:
        try:
            began = time.perf_counter()
            reused = self._reuse(prompt)
            fresh = len(prompt) - reused
            aborted = False
            # The last token alone, always: its logits then do not depend on how much of the
            # prompt was in the cache, and a greedy retry repeats the reply word for word.
            for start in [*range(reused, len(prompt) - 1, N_BATCH), len(prompt) - 1]:
                stop = min(start + N_BATCH, len(prompt) - 1) if start < len(prompt) - 1 else None
                aborted = not self._decode(prompt[start:stop])
                if aborted:
                    break
                if stop is not None:
                    steps.put(Prefilling(stop - reused, fresh))
            seconds = time.perf_counter() - began
            steps.put(Prefilled(len(self._past) - reused, reused, seconds))
            began = time.perf_counter()
            reason = "cancelled" if aborted else self._sample(prompt, params, steps)
            steps.put(Finished(reason, time.perf_counter() - began))
        finally:
            steps.put(None)

    def _sample(
        self, prompt: list[int], params: SamplingParams, steps: queue.SimpleQueue[Step | None]
    ) -> FinishReason:
        rng = random.Random(draw_seed() if params.seed is None else params.seed)
        ends = {self._control.im_start, self._control.im_end}
        seen = set(prompt)
        for count in range(1, params.max_tokens + 1):
            row = lib.llama_get_logits_ith(self._ctx, -1)
            logits = np.ctypeslib.as_array(row, shape=(self._n_vocab,))
            token = pick(*distribution(logits, seen, params), rng)
            if token in ends or lib.llama_vocab_is_eog(self._vocab, token):
                return "stop"
            steps.put(Token(token))
            seen.add(token)
            if count == params.max_tokens:
                break
            if len(self._past) >= self._n_ctx:
                return "context"
            if not self._decode([token]):
                return "cancelled"
        return "length"

    def _reuse(self, prompt: Sequence[int]) -> int:
        """Cut the cache down to what it shares with `prompt`; how many tokens that are.

        Never all: the last one is evaluated again, for its logits.
        """
        shared = _common_prefix(self._past, prompt[:-1])
        if not lib.llama_memory_seq_rm(self._memory, 0, shared, -1):
            lib.llama_memory_clear(self._memory, True)  # a recurrent state cannot be cut
            shared = 0
        del self._past[shared:]
        return shared

    def _decode(self, tokens: list[int]) -> bool:
        """Evaluate up to N_BATCH tokens after those in the cache; False if cancelled."""
        if self._flag[0] != b"\0":
            return False
        array = (lib.llama_token * len(tokens))(*tokens)
        status = lib.llama_decode(self._ctx, lib.llama_batch_get_one(array, len(tokens)))
        if status == 0:
            self._past += tokens
            return True
        lib.llama_memory_seq_rm(self._memory, 0, len(self._past), -1)
        if status == 2:
            return False
        raise EngineError(
            f"llama.cpp could not evaluate {len(tokens)} tokens after {len(self._past)} "
            f"(llama_decode returned {status}). --debug shows its own words."
        )

    def _shift(self, prompt: list[int], start: int) -> bool:
        stop = len(prompt)
        holds = self._past[:stop] == prompt
        if not holds or not lib.llama_memory_can_shift(self._memory):
            return False
        if not lib.llama_memory_seq_rm(self._memory, 0, start, stop):
            return False
        lib.llama_memory_seq_add(self._memory, 0, stop, -1, start - stop)
        del self._past[start:stop]
        return True

    def _free(self) -> None:
        if self._ctx:
            lib.llama_free(self._ctx)
        if self._model:
            lib.llama_model_free(self._model)
        self._ctx = self._model = None


def check_file(path: Path) -> None:
    """Refuse early what is not a GGUF file.

    Raises:
        ModelError: it is not there, cannot be read, or does not begin as a GGUF file does.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}. Check the path.") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder. Name the .gguf file in it.") from None
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error
    if magic != b"GGUF":
        raise ModelError(
            f"{path} is not a GGUF file (it begins with {magic!r}). A model in another format must "
            "be converted to GGUF first."
        )


def measure(path: Path, n_ctx: int) -> MemoryNeed | None:
    """What a model would take in memory, by a load that reads no weights; None if it fails."""
    with LogLines() as lines:
        params = lib.llama_model_default_params()
        params.no_alloc, params.load_mode = True, lib.LLAMA_LOAD_MODE_NONE
        model = lib.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            return None
        context = lib.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = n_ctx, N_BATCH, N_BATCH
        context.n_outputs_max, context.flash_attn_type = 1, -1
        ctx = lib.llama_init_from_model(model, context)
        weights = int(lib.llama_model_size(model))
        if ctx:
            lib.llama_free(ctx)
        lib.llama_model_free(model)
        return MemoryNeed(weights, lines.mebibytes("KV"), lines.mebibytes("compute"))


def _abort_callback(flag: ctypes.Array[ctypes.c_char]) -> tuple[Any, ctypes.c_void_p]:
    """llama.cpp asks before each of some 500 graph nodes a token whether to go on.

    A Python function there would cost a small model 5 % of its speed. C's strlen, given a buffer
    that holds "" or one character, is the same question at no cost.
    """
    strlen = (ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)).strlen
    return ctypes.cast(strlen, lib.ggml_abort_callback), ctypes.cast(flag, ctypes.c_void_p)


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


# Windows does not interrupt a wait for a lock, so waits there are cut into short ones.
_PATIENCE = 0.1 if sys.platform == "win32" else None


def _next(steps: queue.SimpleQueue[Step | None]) -> Step | None:
    while True:
        with suppress(queue.Empty):
            return steps.get(timeout=_PATIENCE)


def _wait(running: Future[None], *, swallow: bool = False) -> None:
    while True:
        try:
            running.result(timeout=_PATIENCE)
        except TimeoutError:
            if not running.done():
                continue
            raise
        except Exception:
            if not swallow:
                raise
        return
