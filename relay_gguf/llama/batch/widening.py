"""A second context on a loaded model, of several sequences, for as long as replies are drawn.

It takes over what the first context has read, by a copy of its cache, and shares the model's
weights; so it costs the memory of a cache and no reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from relay_gguf.engine import HasSeats
from relay_gguf.fit.memory import padded
from relay_gguf.llama.contexts.snapshots import common_prefix
from relay_gguf.llama.gguf_engine import GgufEngine, LlamaHeld
from relay_gguf.llama.kv_cache import KvCache
from relay_gguf.llama.load import Loaded, context_params
from relay_gguf.llama.native import lib
from relay_gguf.llama.thread import JobThread, wait
from relay_gguf.machine.devices import available_memory

from .batch_engine import Seat
from .context import LlamaSlots
from .continuation import Continuation
from .inbox import Asked, Inbox, serve
from .slots import Slots

if TYPE_CHECKING:
    from relay_gguf.engine import ControlTokens

UNREAD: Final = 64
"""Tokens of a prompt that are read in the second context; the first one would read more again."""


@contextmanager
def widened(
    engine: GgufEngine,
    held: LlamaHeld,
    cache: KvCache,
    prompt: Sequence[int],
    n_replies: int,
    n_tokens: int,
) -> Iterator[HasSeats | None]:
    """Seats on an engine's model; None where there is no room, or the engine has not read so far.

    Args:
        engine: the engine; it does nothing else meanwhile.
        held: its thread, which steps for the seats too.
        cache: its cache.
        prompt, n_replies, n_tokens: as for `Widens.widened`.
    """
    opened = wait(held.thread.submit(_open, held, cache, list(prompt), n_replies, n_tokens))
    if opened is None:
        yield None
        return
    wide = WideEngine(engine, held.thread, opened)
    try:
        yield wide
    finally:
        wide.cancel()
        with suppress(RuntimeError):  # the engine was closed, and has freed it
            wait(held.thread.submit(_close, held, opened))


class SecondContext:
    """A context on a model that another context is on too. For the engine's thread only."""

    def __init__(self, model: Loaded, slots: Slots) -> None:
        """Take a context that was made."""
        self.slots = slots
        self._model = model

    def free(self) -> None:
        """Free it; a second call does nothing."""
        if self._model.ctx is not None:
            lib.llama_free(self._model.ctx)
            self._model = replace(self._model, ctx=None)


class WideEngine:
    """An engine with seats at a second context."""

    def __init__(self, engine: GgufEngine, thread: JobThread, context: SecondContext) -> None:
        """Begin without replies."""
        self._engine = engine
        self._thread = thread
        self._context = context
        self._inbox = Inbox()
        self.name, self.vocabulary, self.n_ctx = engine.name, engine.vocabulary, engine.n_ctx
        self.control: ControlTokens = engine.control
        self.tokenize, self.piece = engine.tokenize, engine.piece

    def ask(self, continuation: Continuation) -> Asked:
        """Queue a continuation, as `BatchEngine.ask`."""
        asked = Asked(continuation, self._inbox)
        if self._inbox.add(asked):
            self._thread.submit(serve, self._inbox, self._context.slots)
        return asked

    def seat(self) -> Seat:
        """An engine for one reply."""
        return Seat(self)

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        """Nothing leaves a context that lives so shortly."""
        return False

    def cancel(self) -> None:
        """End all replies in flight."""
        for asked in self._inbox.live():
            asked.cancel()


def _close(held: LlamaHeld, opened: SecondContext) -> None:
    held.second.remove(opened.free)
    opened.free()


def _open(
    held: LlamaHeld, cache: KvCache, prompt: list[int], n_replies: int, n_tokens: int
) -> SecondContext | None:
    """A second context with what the first has of a prompt; None if that cannot be."""
    model, read = cache.model, common_prefix(cache.past, prompt)
    if not model.can_shift or len(prompt) - read > UNREAD:
        return None
    longest = min(len(prompt) + n_tokens + 1, model.n_ctx)
    n_cells = max(len(cache.past), len(prompt)) + n_replies * (longest - len(prompt))
    settings = replace(
        model.plan.settings,
        n_ctx=longest,
        n_slots=n_replies,
        n_cells=padded(n_cells),
        kv_unified=True,  # all of them begin with the whole prompt
    )
    sizes = model.plan.model
    copy = sizes.kv(len(sizes.blocks), len(cache.past), settings.kv_type)
    needed = copy + sizes.kv(len(sizes.blocks), settings.pool, settings.kv_type)
    needed += sizes.compute_buffer(settings.n_kv, settings.n_ubatch) + sizes.more_rows(n_replies)
    if needed > (available_memory() or 0):
        return None
    snapshot = cache.snapshot(copy * 2)
    if snapshot is None:
        return None
    params = context_params(settings)
    params.n_threads = params.n_threads_batch = lib.llama_n_threads(model.ctx)
    params.abort_callback, params.abort_callback_data = model.callbacks[1]
    ctx = lib.llama_init_from_model(model.model, params)
    if not ctx:
        return None
    second = replace(
        model,
        ctx=ctx,
        memory=lib.llama_get_memory(ctx),
        plan=replace(model.plan, settings=settings),
    )
    context = LlamaSlots(second, cache.flag)
    slots = Slots(context)
    opened = SecondContext(second, slots)
    if not context.fill(0, snapshot):
        opened.free()
        return None
    held.second.append(opened.free)
    slots.cells.fill(0, list(snapshot.ids))
    return opened
