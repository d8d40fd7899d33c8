"""A loaded model that generates many replies at once, for callers on any thread.

One thread owns the context and steps while there is anything to do; each reply has a queue, from
which whoever asked for it takes its steps.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relay_gguf.engine import Finished, Step
from relay_gguf.errors import EngineError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.engine import LlamaHeld
from relay_gguf.llama.gguf_engine import GgufEngine
from relay_gguf.llama.kv_cache import abort_callback
from relay_gguf.llama.load import Loaded, check_file, load
from relay_gguf.llama.thread import JobThread, next_of, wait
from relay_gguf.llama.tokenizer import Tokenizer
from relay_gguf.machine.cpu import check_threads, physical_cores
from relay_gguf.sampling import SamplingParams

from .context import LlamaSlots
from .continuation import Continuation
from .slots import Slots

N_SLOTS: Final = 8
"""Replies at once, unless the options say otherwise."""


@dataclass(eq=False, slots=True)
class Asked:
    """A request that was handed in, and the queue of its steps; an error ends it as well."""

    request: Continuation
    steps: queue.SimpleQueue[Step | BaseException] = field(default_factory=queue.SimpleQueue)
    handle: int | None = None  # once it is in the slots
    over: bool = False


class BatchEngine(GgufEngine):
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
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Load a model; Ctrl-C stops it at once.

        Args:
            path: a GGUF file.
            options: `n_slots`, context and the like; None for `N_SLOTS` slots.
            n_threads: threads of the CPU; None for one for each physical core.
            on_progress: called from another thread with the share that is loaded, 0 to 1.

        Raises:
            ModelError, MemoryShortError, SettingsError: as `LlamaEngine`; SettingsError as well if
                the options ask for a single slot, which is `LlamaEngine`'s.
        """
        options = LoadOptions(n_slots=N_SLOTS) if options is None else options
        check_file(Path(path))
        check_threads(n_threads)
        self.n_threads = n_threads or physical_cores()
        self._flag = flag = ctypes.create_string_buffer(2)
        self._thread = JobThread("relay-batch")
        self._held = LlamaHeld(self._thread, flag)
        self._inbox = _Inbox()
        super().__init__(Path(path), self._held)
        loading = self._thread.submit(
            load,
            self._path,
            options,
            n_threads=self.n_threads,
            abort=abort_callback(flag),
            on_progress=on_progress,
            wanted=lambda: flag[0] == b"\0",
        )
        try:
            loaded = self._held.loaded = wait(loading)
            self._tokenizer = self._held.tokenizer = Tokenizer(loaded.vocab)
            context = LlamaSlots(loaded, flag)
            self._n_ctx = context.n_ctx
            self._slots = Slots(context)
        except BaseException:
            self._flag[0] = b"\1"
            if loading.exception() is None:  # Ctrl-C came when the model was all but loaded
                self._held.loaded = loading.result()
            self.close()
            raise

    @property
    def _model(self) -> Loaded:
        """The loaded model.

        Raises:
            EngineError: the engine was closed, or this is a forked process.
        """
        self._refuse_fork()
        if self._held.loaded is None:
            raise EngineError("The model is closed.")
        return self._held.loaded

    @property
    def n_ctx(self) -> int:
        """Tokens that a prompt and its reply may have together, in each slot."""
        return min(self._model.n_ctx, self._n_ctx)

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
        yield from self.reply(Continuation(tuple(prompt), params))

    def reply(self, request: Continuation) -> Iterator[Step]:
        """Generate as `generate`, with a request's own ends.

        Raises:
            EngineError: as `generate`.
        """
        order = self._hand_in(request)
        try:
            while True:
                step = next_of(order.steps)
                if isinstance(step, BaseException):
                    raise step
                yield step
                if isinstance(step, Finished):
                    return
        finally:
            if not order.over:
                self._take_back(order)

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        """Leave the cache as it is: the next prompt is read from where it differs; False."""
        return False

    def cancel(self) -> None:
        """End all replies in flight, from any thread."""
        for order in self._inbox.live():
            self._take_back(order)

    def _hand_in(self, request: Continuation) -> Asked:
        """Queue a request, and see to it that the thread steps."""
        _ = self._model
        order = Asked(request)
        if self._inbox.add(order):
            self._thread.submit(_serve, self._inbox, self._slots, self._flag)
        return order

    def _take_back(self, order: Asked) -> None:
        self._inbox.cancel(order)


class _Inbox:
    """What other threads want of the one that steps."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: list[Asked] = []
        self._cancelled: list[Asked] = []
        self._live: list[Asked] = []
        self._served = False

    def add(self, order: Asked) -> bool:
        """Take in a new order; whether the thread must be told to step."""
        with self._lock:
            self._new.append(order)
            self._live.append(order)
            was, self._served = self._served, True
            return not was

    def cancel(self, order: Asked) -> None:
        """Take back an order."""
        with self._lock:
            self._cancelled.append(order)

    def live(self) -> list[Asked]:
        """The orders that have not ended."""
        with self._lock:
            return list(self._live)

    def end(self, order: Asked) -> None:
        """An order has ended."""
        order.over = True
        with self._lock:
            self._live.remove(order)

    def take(self, n_live: int) -> tuple[list[Asked], list[Asked]] | None:
        """New and cancelled orders; None if there is nothing to do, and the thread may rest."""
        with self._lock:
            if not n_live and not self._new:
                self._cancelled.clear()
                self._served = False
                return None
            new, self._new = self._new, []
            gone, self._cancelled = self._cancelled, []
            return new, gone


# From here on: on the engine's thread


def _serve(inbox: _Inbox, slots: Slots, flag: ctypes.Array[ctypes.c_char]) -> None:
    """Step until there is nothing left to do."""
    orders: dict[int, Asked] = {}
    while (wanted := inbox.take(slots.n_live)) is not None:
        new, gone = wanted
        try:
            for order in new:
                _join(inbox, slots, orders, order)
            for order in gone:
                if order.handle is not None and not order.over:
                    slots.cancel(order.handle)
            for told in slots.step():
                order = orders[told.handle]
                if isinstance(told.step, Finished):
                    del orders[told.handle]
                    inbox.end(order)
                order.steps.put(told.step)
        except Exception as error:  # llama.cpp failed: nobody's reply goes on
            for order in orders.values():
                inbox.end(order)
                order.steps.put(error)
            orders.clear()
        if flag[0] != b"\0":  # the model is about to be freed
            for order in inbox.live():
                inbox.end(order)
                order.steps.put(Finished("cancelled", 0.0))
            orders.clear()


def _join(inbox: _Inbox, slots: Slots, orders: dict[int, Asked], order: Asked) -> None:
    """Put an order into the slots; one that does not fit fails alone."""
    try:
        order.handle = slots.submit(order.request)
        orders[order.handle] = order
    except EngineError as error:
        inbox.end(order)
        order.steps.put(error)
