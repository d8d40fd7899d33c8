"""The process of an `IsolatedEngine`: a `LlamaEngine` behind pipes, with workers registered.

Run as `python -m relay_gguf.llama.isolated.serving`. It reads pickled `EngineCall`s and `Cancel`s
from stdin and answers each call with pickled `EngineReply`s that carry its number; the final reply
has `last` set. It ends with its stdin, or when llama.cpp finds that a worker is gone.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from relay_gguf.child import replies
from relay_gguf.debug import log_everything
from relay_gguf.engine import ControlTokens, Finished, Step
from relay_gguf.errors import EngineError, RelayError
from relay_gguf.fit.placement import Plan
from relay_gguf.fit.plan import LoadOptions


@dataclass(frozen=True, slots=True)
class Opening:
    """The arguments of the call `open`: those of `LlamaEngine`, and whether to log."""

    path: Path
    options: LoadOptions
    n_threads: int | None
    scene_room: int
    contexts: Path | None = None
    debug: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """The result of `open`: the properties of the loaded model."""

    n_ctx: int
    n_threads: int
    n_tries: int
    control: ControlTokens
    plan: Plan


@dataclass(frozen=True, slots=True)
class Loading:
    """A step of `open`: the share that is loaded, 0 to 1."""

    share: float


@dataclass(frozen=True, slots=True)
class EngineCall:
    """A method of the engine to call; each call has a higher number than the last."""

    number: int
    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """A request to end the generation of this number, if it is not over."""

    number: int


@dataclass(frozen=True, slots=True)
class EngineReply:
    """A result or a step of a call, or its error."""

    number: int
    value: Any = None
    error: RelayError | None = None
    last: bool = True


class EngineServer:
    """Answers calls one after another; a cancel overtakes them."""

    def __init__(self, calls: IO[bytes], out: IO[bytes]) -> None:
        """Serve the parent at the other ends of these pipes."""
        from relay_gguf.llama.thread import JobThread

        self._calls, self._out = calls, out
        self._writing = threading.Lock()
        self._running = 0  # the number of the generation in flight
        self._cancelled = 0  # the highest number that nobody waits for
        self._turning = threading.Lock()
        self._jobs = JobThread("relay-serving")
        self._engine: Any = None

    def run(self) -> None:
        """Serve until the pipe of calls ends."""
        while True:
            try:
                message = pickle.load(self._calls)
            except EOFError:
                return
            match message:
                case Cancel(number):
                    with self._turning:
                        self._cancelled = max(self._cancelled, number)
                        if number == self._running and self._engine is not None:
                            self._engine.cancel()
                case EngineCall():
                    self._jobs.submit(self._answer, message)

    def _answer(self, call: EngineCall) -> None:
        try:
            if call.name == "generate":
                for step in self._steps(call):
                    self._say(EngineReply(call.number, step, last=False))
                value = None
            elif call.name == "open":
                value = self._open(call.number, *call.arguments)
            else:
                value = getattr(self._engine, call.name)(*call.arguments)
            self._say(EngineReply(call.number, value))
        except RelayError as error:
            self._say(EngineReply(call.number, error=error))
        except Exception as error:
            self._say(
                EngineReply(call.number, error=EngineError(f"{type(error).__name__}: {error}"))
            )

    def _steps(self, call: EngineCall) -> Iterator[Step]:
        """The steps of a generation; if it was cancelled before its turn, only `Finished`."""
        with self._turning:
            wanted = call.number > self._cancelled
            self._running = call.number if wanted else 0
        if not wanted:
            yield Finished("cancelled", 0.0)
            return
        try:
            for step in self._engine.generate(*call.arguments):
                if isinstance(step, Finished):
                    self._over()
                yield step
        finally:
            self._over()

    def _over(self) -> None:
        """Forget the running generation: a cancel from now on would end the next one."""
        with self._turning:
            self._running = 0

    def _open(self, number: int, opening: Opening) -> Opened:
        if opening.debug:
            log_everything()
        from relay_gguf.llama.engine import LlamaEngine
        from relay_gguf.llama.rpc import add_server, notice_silence

        for worker in opening.options.workers:
            add_server(worker)

        def progress(share: float) -> None:
            self._say(EngineReply(number, Loading(share), last=False))

        self._engine = engine = LlamaEngine(
            opening.path,
            opening.options,
            n_threads=opening.n_threads,
            scene_room=opening.scene_room,
            contexts=opening.contexts,
            on_progress=progress,
        )
        notice_silence()
        return Opened(
            n_ctx=engine.n_ctx,
            n_threads=engine.n_threads,
            n_tries=engine.n_tries,
            control=engine.control,
            plan=engine.plan,
        )

    def _say(self, reply: EngineReply) -> None:
        with self._writing:
            try:
                pickle.dump(reply, self._out)
                self._out.flush()
            except OSError:  # the parent is gone
                os._exit(1)


def received(pipe: IO[bytes]) -> Iterator[EngineReply]:
    """The parent's side: replies until the child has ended, perhaps in the middle of a reply."""
    while True:
        try:
            yield pickle.load(pipe)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            return


def main() -> None:
    """Serve, then exit at once: freeing the model may hang on a worker."""
    out = replies()
    with suppress(RelayError):  # which the call that opens a model tells
        # On Windows, no library can be loaded while a thread reads stdin.
        from relay_gguf.llama import engine, rpc  # noqa: F401
    EngineServer(sys.stdin.buffer, out).run()
    os._exit(0)


if __name__ == "__main__":
    from .serving import main as run  # what is pickled has its real name

    run()
