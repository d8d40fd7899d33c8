"""The engine: llama.cpp through its low-level API.

The `Llama` class of llama-cpp-python is not used: it cannot shift its cache, cancel, ask for flash
attention "auto" or say why a model did not load, and it allocates larger compute buffers.

One thread owns the context, since llama.cpp is not thread-safe and since Ctrl-C reaches only the
main thread, and only between C calls: that thread evaluates, the caller waits on a queue.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relay_gguf.engine import HasSeats, Step
from relay_gguf.errors import EngineError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.sampling import SamplingParams

from .batch.widening import widened
from .generation import Generation, logits_of
from .gguf_engine import LoadedEngine
from .kv_cache import KvCache
from .prefill import PrefillPace
from .thread import IdleJob, next_of, wait

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits


IDLE_SECONDS: Final = 60.0
"""Seconds after a reply after which its conversation is left in the folder of contexts."""
TICK: Final = 0.5
"""Seconds without a sign of life at most, while a prompt is evaluated."""


class LlamaEngine(LoadedEngine):
    """A GGUF file in memory, with a context of `n_ctx` tokens."""

    def __init__(
        self,
        path: str | Path,
        options: LoadOptions | None = None,
        *,
        n_threads: int | None = None,
        scene_room: int = 0,
        contexts: Path | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Load a model; Ctrl-C stops it at once.

        Args:
            path: a GGUF file.
            options: context, layers for the GPU and the like; what they leave open is planned
                (see `fit.plan`) for what this machine has free now.
            n_threads: threads of the CPU; None for one for each physical core.
            scene_room: bytes of RAM for snapshots of conversations that are not in the context
                now, so that going back to one costs only a copy.
            contexts: a folder where `close` leaves the conversations that take long to read, for
                the next engine that goes on with one; None for nowhere.
            on_progress: called from another thread with the share that is loaded, 0 to 1.

        Raises:
            ModelError: the file is missing, broken, of an unknown kind or not a ChatML model.
            MemoryShortError: it does not fit into memory.
            SettingsError: the options do not go with this machine or this model.
        """
        self._generation: Generation | None = None
        self._cancelled = False
        self._reading: Future[None] | None = None
        super().__init__(
            path,
            options or LoadOptions(),
            n_threads=n_threads,
            on_progress=on_progress,
            thread="relay-llama",
        )
        self._folder = self._context_folder(contexts)
        cache = KvCache(self._model, self._flag, scene_room, self._folder)
        self._generation = Generation(self._model, cache)

    @property
    def _runs(self) -> Generation:
        self._refuse_fork()
        if self._generation is None or self._held.loaded is None:
            raise EngineError("The model is closed.")
        return self._generation

    def logits(self) -> Logits:
        """A copy of the logits (n_vocab,) after the last token that was evaluated."""
        model = self._model
        self._stop_reading()
        return wait(self._thread.submit(lambda: logits_of(model).copy()))

    # Generating

    def generate(self, prompt: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Evaluate what is new in `prompt` (token ids), then yield tokens, and `Finished` at last.

        The same seed gives the same tokens while the cache had the same history: llama.cpp's
        results depend a little on how a prompt was cut into batches.

        Raises:
            EngineError: the prompt is empty or does not fit, or llama.cpp failed.
        """
        n_ctx = self._model.n_ctx
        if not 0 < len(prompt) < n_ctx:
            raise EngineError(f"The prompt has {len(prompt)} tokens, but n_ctx is {n_ctx}.")
        self._stop_reading()
        steps: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        pace = PrefillPace(self._runs.rate)
        running = self._thread.submit(self._reply, self._runs, list(prompt), params, steps, pace)
        try:
            while (step := _next(steps, pace)) is not None:
                yield step
            wait(running)
        finally:
            if not running.done():
                self.cancel()
                running.exception()
            self._cancelled, self._flag[0] = False, b"\0"

    def cancel(self) -> None:
        """End the generation in flight, from any thread; without one, the next."""
        self._cancelled = True
        self._flag[0] = b"\1"

    def close(self) -> None:
        """Leave the conversations in the folder of contexts, and free the model.

        Ctrl-C ends the writing. A second call does nothing.
        """
        try:
            if self._folder and self._held.loaded and os.getpid() == self._pid:
                self.keep_contexts()
        finally:
            super().close()

    def keep_contexts(self) -> int:
        """End the reply in flight and leave the conversations in the folder of contexts.

        Returns:
            The number of conversations that have a file there now.
        """
        wanted = True
        self.cancel()
        try:
            return wait(self._thread.submit(self._runs.keep, lambda: wanted))
        finally:
            wanted = self._cancelled = False
            self._flag[0] = b"\0"

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        """Remove `prompt[start:stop]` from the cache and move what follows up.

        The moved keys are rotated to their new positions; their values still carry what the
        removed text said, so that logits differ a little from a fresh evaluation.
        """
        self._stop_reading()
        return self._thread.submit(self._runs.cache.remove, list(prompt[:stop]), start).result()

    def prepare(self, prompt: Sequence[int]) -> None:
        """Begin to evaluate what is new in `prompt`, but for its last token, and return at once.

        Whatever is asked of the engine next ends that, and uses what was evaluated by then. A
        prompt that does not fit is not read.
        """
        runs = self._runs
        self._stop_reading()
        if 1 < len(prompt) < runs.model.n_ctx and not self._cancelled:
            self._reading = self._thread.submit(runs.read_ahead, list(prompt))

    def widened(
        self, prompt: Sequence[int], n_replies: int, n_tokens: int
    ) -> AbstractContextManager[HasSeats | None]:
        """Seats for several replies to a prompt at once, until the block is left; see `Widens`."""
        runs = self._runs
        self._stop_reading()
        return widened(self, self._held, runs.cache, prompt, n_replies, n_tokens)

    def _stop_reading(self) -> None:
        """End what `prepare` began; a cancel stays one of the next generation."""
        reading, self._reading = self._reading, None
        if reading is not None and not reading.done():
            self._flag[0] = b"\1"
            reading.exception()
            self._flag[0] = b"\0"
            if self._cancelled:
                self._flag[0] = b"\1"

    def _reply(
        self,
        runs: Generation,
        prompt: list[int],
        params: SamplingParams,
        steps: queue.SimpleQueue[Step | None],
        pace: PrefillPace,
    ) -> None:
        """Put the steps of a generation, and None at last; on the engine's thread."""
        try:
            runs.run(prompt, params, steps.put, pace)
        finally:
            self._thread.when_idle(IdleJob(IDLE_SECONDS, runs.keep))
            steps.put(None)


def _next(steps: queue.SimpleQueue[Step | None], pace: PrefillPace) -> Step | None:
    """The next step; while a long prompt is evaluated, a sign of life every `TICK` seconds."""
    while True:
        try:
            return next_of(steps, TICK)
        except queue.Empty:
            if (guess := pace.guess(time.perf_counter())) is not None:
                return guess
