"""A loaded model that generates many replies at once, for callers on any thread.

One thread owns the context and steps while there is anything to do; see `inbox`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from relay_gguf.engine import ControlTokens, Step
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.gguf_engine import LoadedEngine
from relay_gguf.llama.thread import wait
from relay_gguf.sampling import SamplingParams

from .context import LlamaSlots
from .continuation import Continuation
from .inbox import Asked, Inbox, serve
from .slots import Slots
from .streams import StreamSlots

T = TypeVar("T")

N_SLOTS: Final = 8
"""Replies at once, unless the options say otherwise."""


class BatchEngine(LoadedEngine):
    """A GGUF file in memory, with a context of many sequences.

    It is an `Engine`: `generate` may be called by many threads at once. `cancel` ends all replies
    in flight; to end one, close its iterator.
    """

    def __init__(
        self,
        path: str | Path,
        options: LoadOptions | None = None,
        *,
        n_threads: int | None = None,
        scene_room: int = 0,
        contexts: Path | None = None,
        on_progress: Callable[[float], None] | None = None,
        any_chat: bool = False,
    ) -> None:
        """Load a model; Ctrl-C stops it at once.

        Args:
            path: a GGUF file.
            options: slots, context and the like; None for `N_SLOTS` slots.
            n_threads: threads of the CPU; None for one for each physical core.
            scene_room: bytes of RAM for snapshots of conversations that have no slot any more, if
                each slot has a cache of its own; a pool keeps them itself.
            contexts: a folder where `close` leaves the conversations, as for `LlamaEngine`.
            on_progress: called from another thread with the share that is loaded, 0 to 1.
            any_chat: whether a model of another chat format than ChatML will do: prompts are then
                made by its file's own template, with `tokenize_prompt`.

        Raises:
            ModelError, MemoryShortError, SettingsError: as `LlamaEngine`.
        """
        options = LoadOptions(n_slots=N_SLOTS) if options is None else options
        self._inbox = Inbox()
        super().__init__(
            path,
            options,
            n_threads=n_threads,
            on_progress=on_progress,
            thread="relay-batch",
            any_chat=any_chat,
        )
        self._folder = self._context_folder(contexts)
        model, flag, folder = self._model, self._flag, self._folder
        self._context = (
            LlamaSlots(model, flag, folder)
            if model.plan.settings.kv_unified
            else StreamSlots(model, flag, folder, scene_room)
        )
        self._slots = Slots(self._context)

    @property
    def n_ctx(self) -> int:
        """Tokens that a prompt and its reply may have together, in each slot."""
        return min(self._model.n_ctx, self._context.n_ctx)

    @property
    def n_slots(self) -> int:
        """Replies that are generated at once; more of them wait."""
        return self._model.plan.settings.n_slots

    def generate(self, prompt: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Evaluate what is new in `prompt` (token ids), then yield tokens, and `Finished` at last.

        Closing the iterator cancels. The steps are those of `LlamaEngine`; while other replies run,
        a seed may give another text, since llama.cpp's results depend a little on what is
        evaluated together.

        Raises:
            EngineError: the prompt is empty or does not fit, or llama.cpp failed.
        """
        yield from self.ask(Continuation(tuple(prompt), params)).steps()

    def ask(self, continuation: Continuation) -> Asked:
        """Queue a continuation; take its `steps`, or `cancel` it, from any thread."""
        _ = self._model
        asked = Asked(continuation, self._inbox)
        if self._inbox.add(asked):
            self._thread.submit(serve, self._inbox, self._slots)
        return asked

    def seat(self) -> Seat:
        """An engine for one conversation: its `cancel` ends that one's reply alone."""
        return Seat(self)

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        """Remove `prompt[start:stop]` from the cache and move what follows up, as `LlamaEngine`.

        That is left undone where another conversation has the same cells.
        """
        _ = self._model
        return wait(self._do(partial(self._slots.forget, list(prompt[:stop]), start)))

    def cancel(self) -> None:
        """End all replies in flight, from any thread."""
        for asked in self._inbox.live():
            asked.cancel()

    def close(self) -> None:
        """Leave the conversations in the folder of contexts, and free the model.

        Ctrl-C ends the writing. A second call does nothing.
        """
        wanted = True
        try:
            if self._folder and self._held.loaded and os.getpid() == self._pid:
                self.cancel()
                slots, context = self._slots, self._context
                wait(
                    self._do(
                        lambda: context.keep(
                            [(seq, slots.cells.ids(seq)) for seq in slots.by_use],
                            slots.reading.best_rate,
                            lambda: wanted,
                        )
                    )
                )
        finally:
            wanted = False
            super().close()

    def _do(self, job: Callable[[], T]) -> Future[T]:
        """Do a job between two steps, on the engine's thread."""
        done, wakes = self._inbox.add_job(job)
        if wakes:
            self._thread.submit(serve, self._inbox, self._slots)
        return done


class Seating(Protocol):
    """What seats are at: an engine that is asked for continuations."""

    @property
    def name(self) -> str: ...
    @property
    def vocabulary(self) -> str: ...
    @property
    def n_ctx(self) -> int: ...
    @property
    def control(self) -> ControlTokens: ...
    def tokenize(self, text: str) -> list[int]: ...
    def piece(self, token: int) -> bytes: ...
    def ask(self, continuation: Continuation) -> Asked: ...
    def seat(self) -> Seat: ...
    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool: ...


class Seat:
    """One conversation's place at a `BatchEngine`, in the form of an `Engine` of its own."""

    def __init__(self, engine: Seating) -> None:
        """Take a place; whoever has the engine closes it."""
        self._engine = engine
        self._turning = threading.RLock()  # a signal handler may cancel in the same thread
        self._asked: Asked | None = None
        self._cancelled = False

    @property
    def name(self) -> str:
        """The model's name, for people."""
        return self._engine.name

    @property
    def vocabulary(self) -> str:
        """SHA-256 over all tokens' texts, hexadecimal."""
        return self._engine.vocabulary

    @property
    def n_ctx(self) -> int:
        """Tokens that a prompt and its reply may have together."""
        return self._engine.n_ctx

    @property
    def control(self) -> ControlTokens:
        """The tokens that frame a turn."""
        return self._engine.control

    def tokenize(self, text: str) -> list[int]:
        """The ids of `text`, in which control tokens are plain text; no BOS."""
        return self._engine.tokenize(text)

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty for a control token."""
        return self._engine.piece(token)

    def generate(self, prompt: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Generate as `BatchEngine.generate`."""
        with self._turning:
            self._asked = self._engine.ask(Continuation(tuple(prompt), params))
            if self._cancelled:
                self._asked.cancel()
        try:
            yield from self._asked.steps()
        finally:
            with self._turning:
                self._asked, self._cancelled = None, False

    def seat(self) -> Seat:
        """Another place at the same engine."""
        return self._engine.seat()

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        """Forget as `BatchEngine.forget`."""
        return self._engine.forget(prompt, start, stop)

    def cancel(self) -> None:
        """End this conversation's reply in flight, from any thread; without one, the next."""
        with self._turning:
            self._cancelled = True
            if self._asked is not None:
                self._asked.cancel()

    def close(self) -> None:
        """End the reply in flight; the engine stays open."""
        if self._asked is not None:
            self.cancel()
