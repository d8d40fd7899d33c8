"""An engine in a child process: llama.cpp ends the process in which a worker fails."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from relay_gguf.engine import Finished, Moved, Step
from relay_gguf.errors import EngineError, MemoryShortError, RelayError, WorkerError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.gguf_engine import GgufEngine
from relay_gguf.llama.load import check_file
from relay_gguf.llama.thread import next_of
from relay_gguf.machine.cpu import check_threads
from relay_gguf.sampling import SamplingParams
from relay_gguf.workers.address import Address, parse_addresses
from relay_gguf.workers.protocol import ask_all, silent

from .process import EndedError, IsolatedHeld, Process, Replies, blame
from .serving import Cancel, EngineReply, Opened, Opening
from .vocab_only import VocabOnly

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits

log = logging.getLogger("relay_gguf.llama")

DEAF: Final = 0.7
"""Seconds after which a cancelled reply is not waited for: the child is in a slow evaluation."""
RESTART: Final = 1.5
"""Seconds in which `relay-gguf worker` restarts a server, which then answers as before."""
LOOK: Final = 0.1
"""Seconds between two checks whether a reply was cancelled."""


class IsolatedEngine(GgufEngine):
    """A `LlamaEngine` in a child process; if a worker fails, a new child goes on without it."""

    def __init__(
        self,
        path: str | Path,
        options: LoadOptions,
        *,
        n_threads: int | None = None,
        scene_room: int = 0,
        contexts: Path | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Load a model; Ctrl-C stops it at once.

        Args:
            path: a GGUF file.
            options: as for `LlamaEngine`, with workers.
            n_threads, scene_room, contexts, on_progress: as for `LlamaEngine`.

        Raises:
            WorkerError: an address does not answer or is not a worker, or a worker ended during the
                load.
            ModelError, SettingsError: as for `LlamaEngine`.
        """
        check_file(Path(path).absolute())
        check_threads(n_threads)
        self._held = IsolatedHeld()
        super().__init__(Path(path).absolute(), self._held)
        self._options = options
        self._workers = parse_addresses(options.workers)
        self._opens = Opening(
            self._path, options, n_threads, scene_room=scene_room, contexts=contexts
        )
        self._numbers = itertools.count(1)
        self._opening = threading.RLock()
        self._closed = False
        self._generating = 0
        self._cancelled = False
        self._news = ""
        try:
            ask_all(self._workers)
            self._opened = self._open(self._workers, options, on_progress)
            # In this process, where no worker can end it: messages must be read and saved.
            self._tokenizer = self._held.vocabulary = VocabOnly(self._path)
        except EndedError as ended:
            self.close()
            time.sleep(RESTART)
            said, gone = blame(self._workers, str(ended))
            lacking = " It may be short of memory: take fewer layers, or a smaller file."
            raise WorkerError(said if gone else said + lacking) from None
        except BaseException:
            self.close()
            raise

    @property
    def _model(self) -> Opened:
        return self._opened

    @property
    def _child(self) -> Process | None:
        """The process that has the model now; None between a lost worker and the next reply."""
        return self._held.child

    @property
    def n_threads(self) -> int:
        """Threads of this machine's CPU."""
        return self._opened.n_threads

    @property
    def lost(self) -> bool:
        """Whether a worker failed, so that the next reply begins with loading the model again."""
        return self._held.child is None or bool(self._news)

    def logits(self) -> Logits:
        """A copy of the logits (n_vocab,) after the last token that was evaluated.

        Raises:
            EngineError: the child has ended.
        """
        found: Logits = self._asked("logits")
        return found

    # Generating

    def generate(self, prompt: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """As `LlamaEngine.generate`; after a worker was lost, `Moved` comes first.

        Raises:
            EngineError: as there, or a worker no longer answers; the reply ends where it is.
        """
        self._refuse_fork()
        number, running, over = next(self._numbers), self._held.child, True
        try:
            if running is None and not self._closed:
                yield Moved("The model is loaded again, which may take a while.")
            running = self._alive()
            if self._news:
                yield Moved(self._news)
                self._news = ""
            replies, over = running.call(number, "generate", list(prompt), params), False
            self._generating = number
            if self._cancelled:
                running.send(Cancel(number))
            while (reply := self._next(running, replies)) is not None:
                if isinstance(reply.value, Finished):
                    self._generating = 0
                over = reply.last
                if reply.error is not None:
                    raise reply.error
                if over:
                    return
                yield reply.value
            yield Finished("cancelled", 0.0)
        except EndedError as ended:
            over = True
            if self._closed:
                raise EngineError("The model is closed.") from None
            raise EngineError(self._lost(running, str(ended))) from None
        finally:
            if running is not None and not over:
                running.send(Cancel(number))
            if running is not None:
                running.forget(number)
            self._generating, self._cancelled = 0, False

    def _next(self, running: Process, replies: Replies) -> EngineReply | None:
        """The next reply; None if it was cancelled and does not come soon.

        Raises:
            EndedError: the child has ended.
        """
        deaf_at = 0.0
        while True:
            try:
                reply = replies.get(timeout=LOOK)
            except queue.Empty:
                now = time.monotonic()
                if self._cancelled:
                    deaf_at = deaf_at or now + DEAF - LOOK
                if deaf_at and now >= deaf_at:
                    return None
                continue
            if reply is None:
                raise EndedError(running.how)
            return reply

    def cancel(self) -> None:
        """End the generation in flight, from any thread; without one, the next."""
        self._cancelled = True
        running, number = self._held.child, self._generating
        if running is not None and number:
            running.send(Cancel(number))

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        """Remove `prompt[start:stop]` from the cache and move what follows up."""
        if self._held.child is None and not self._closed:  # a new child begins with an empty cache
            return False
        return bool(self._asked("forget", list(prompt), start, stop))

    def close(self) -> None:
        """Leave the conversations in the folder of contexts, and end the child with the model."""
        try:
            with contextlib.suppress(EngineError):
                if self._opens.contexts is not None and not self._generating:
                    self._asked("keep_contexts")
        finally:
            self._closed = True
            super().close()

    # The child

    def _asked(self, name: str, *arguments: Any) -> Any:
        """Call a method of the child's engine; its result.

        Raises:
            EngineError: the child has ended.
        """
        self._refuse_fork()
        if (running := self._held.child) is None:
            raise EngineError("The model is closed.")
        replies = running.call(number := next(self._numbers), name, *arguments)
        try:
            reply = next_of(replies)
            if reply is None:
                raise EngineError(self._lost(running, running.how))
            if reply.error is not None:
                raise reply.error
            return reply.value
        finally:
            running.forget(number)

    def _open(
        self,
        workers: Sequence[Address],
        options: LoadOptions,
        on_progress: Callable[[float], None] | None = None,
    ) -> Opened:
        """Start a child and load the model there; a cancel ends the child.

        Raises:
            RelayError: as for `LlamaEngine`.
            EndedError: a worker failed during the load.
        """
        running = Process()
        options = replace(options, workers=tuple(map(str, workers)))
        opening = replace(self._opens, options=options, debug=running.debug)
        replies = running.call(next(self._numbers), "open", opening)
        try:
            while (reply := self._next(running, replies)) is not None:
                if reply.error is not None:
                    raise reply.error
                if reply.last:
                    self._held.child = running
                    opened: Opened = reply.value
                    return opened
                if on_progress is not None:
                    on_progress(reply.value.share)
            raise EngineError("Loading the model was stopped; the next message loads it.")
        finally:
            if self._held.child is not running:
                running.kill()

    def _alive(self) -> Process:
        """The child; if it was lost, a new one without the workers that do not answer.

        Raises:
            EngineError: the engine was closed, or the model does not fit without these workers.
        """
        with self._opening:
            if self._closed:
                raise EngineError("The model is closed.")
            if self._held.child is None:
                self._open_again()
            assert self._held.child is not None
            return self._held.child

    def _open_again(self) -> None:
        mute = silent(self._workers)
        left = [address for address in self._workers if address not in mute]
        options = self._options
        if mute:  # devices are counted anew
            options = replace(options, n_gpu_layers=None, main_gpu=None, tensor_split=None)
        contexts = dict.fromkeys((self._opened.n_ctx, self._options.n_ctx))
        try:
            self._opened = self._first_that_fits(left, options, list(contexts))
        except EndedError as ended:
            raise EngineError(self._lost(None, str(ended))) from None
        except EngineError:
            raise
        except RelayError as error:
            why = " ".join(map(str, mute.values()))
            raise EngineError(f"{why} The model does not fit without: {error}".lstrip()) from error
        without = f" without {' and '.join(map(str, mute))}" if mute else " again"
        self._news = f"The model is loaded{without}: {self._opened.plan.summary}."
        log.info("%s", self._news)

    def _first_that_fits(
        self, workers: Sequence[Address], options: LoadOptions, contexts: Sequence[int | None]
    ) -> Opened:
        """Load with the first of several context lengths that fits into memory."""
        *better, last = contexts
        for n_ctx in better:
            with contextlib.suppress(MemoryShortError):
                return self._open(workers, replace(options, n_ctx=n_ctx))
        return self._open(workers, replace(options, n_ctx=last))

    def _lost(self, running: Process | None, how: str) -> str:
        """The error text after a child has ended: why, and how the model will be loaded again."""
        with self._opening:
            if running is not None and self._held.child is running:
                running.kill()
                self._held.child = None
        said, gone = blame(self._workers, how)
        next_time = "without it" if gone == 1 else "without them" if gone else "again"
        return f"{said} The next message loads the model {next_time}."
