"""Several messages drawn at once for the same place in a conversation, all different.

At once with an engine that has seats, or can be widened; else one after the other.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from relay_gguf.conversation.events import (
    Alternative,
    Event,
    Piece,
    Prompted,
    Reading,
    Said,
    Typing,
)
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.messages import Message, Role
from relay_gguf.engine import HasSeats, Widens

TRIES: Final = 3
"""Drawings of a message, in case that another one ends with the same text meanwhile."""
PATIENCE: Final = 0.1
"""Seconds: Windows does not interrupt a longer wait."""


class Drawing:
    """Several messages of one role, from the first token to the last.

    At temperature 0 there is one, since all would be the same.
    """

    def __init__(
        self,
        generator: Generator,
        lines: Sequence[Message],
        role: Role,
        n: int,
        known: Collection[str] = (),
    ) -> None:
        """Draw nothing yet.

        Args:
            generator: whose parameters and seed they follow; its `cancel` stops them all.
            lines: what they come after.
            role: who speaks.
            n: how many.
            known: texts that none of them may be.
        """
        self._generator = generator
        self._lines: Sequence[Message] = lines
        self._role: Role = role
        self._n = n if generator.params.temperature else 1
        self._known = _KnownTexts(known)
        self._writers: list[Generator] = []
        self._stopped = False
        self._only: int | None = None
        self._error: Exception | None = None

    def events(self) -> Iterator[Event]:
        """`Alternative` for each event of a message; `Trimmed` and `Prompted` come once, for all.

        Closing the iterator stops them. What was stopped is not told as `Said`.

        Raises:
            ContextError: the newest turn alone is longer than the context.
            EngineError: the model failed; the messages that it did not fail with are told before.
        """
        generator, generator.drawing = self._generator, self
        try:
            if trimmed := generator.trimmed(self._lines, self._role):
                yield trimmed
                self._lines = trimmed.kept(self._lines)
            is_prompted = False
            for event in self._draw(list(range(self._n))):
                if isinstance(event, Prompted) and is_prompted:
                    continue
                is_prompted = is_prompted or isinstance(event, Prompted)
                yield event
        finally:
            generator.drawing = None
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Stop them all, from any thread or signal handler."""
        self._stopped = True
        for writer in list(self._writers):
            writer.cancel()

    def only(self, row: int) -> None:
        """Stop all but one, from any thread."""
        self._only = row
        for number, writer in enumerate(list(self._writers)):
            if number != row:
                writer.cancel()

    def _draw(self, rows: list[int]) -> Iterator[Event]:
        while rows and not self._stopped and self._error is None:
            with self._seats(len(rows)) as host:
                if host is not None:
                    for row in rows:
                        self._writer(row).engine = host.seat()
                    yield from self._at_once(rows)
                    return
            yield from self._message(rows.pop(0))

    def _seats(self, n: int) -> AbstractContextManager[HasSeats | None]:
        engine, lines = self._generator.engine, self._lines
        if n > 1 and isinstance(engine, HasSeats):
            return nullcontext(engine)
        if n > 1 and isinstance(engine, Widens):
            nick = self._generator.nicks[self._role]
            prompt = self._generator.encoder.prompt(lines, nick, "")
            return engine.widened(prompt, n, self._generator.params.max_tokens)
        return nullcontext(None)

    def _writer(self, row: int) -> Generator:
        """The generator of a message; each has its own seed, in the order of the rows."""
        while len(self._writers) <= row:
            self._writers.append(self._generator.beside(self._generator.engine))
        return self._writers[row]

    def _at_once(self, rows: Sequence[int]) -> Iterator[Event]:
        told: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

        def write(row: int) -> None:
            try:
                for event in self._message(row):
                    told.put(event)
            finally:
                told.put(None)

        left = len(rows)
        with ThreadPoolExecutor(left, "relay-alternative") as pool:
            for row in rows:
                pool.submit(write, row)
            try:
                while left:
                    event = _next(told)
                    left -= event is None
                    if event is not None:
                        yield event
            except BaseException:
                self.stop()
                raise

    def _message(self, row: int) -> Iterator[Event]:
        """The events of one message, until its text is one that no other has."""
        is_said = False
        try:
            for _ in range(TRIES):
                if is_said or self._is_unwanted(row):
                    break
                for event in self._try(row):
                    is_said = is_said or _is_end(event)
                    yield event
        except Exception as error:  # raised when the others are done
            self._error = self._error or error
        if not is_said:
            yield Alternative(row, None)

    def _try(self, row: int) -> Iterator[Event]:
        writer = self._writer(row)
        for event in writer.another(self._lines, self._role, self._known):
            if self._is_unwanted(row):  # perhaps before there was anything to stop
                writer.cancel()
            match event:
                case Said(message, reason=reason):
                    if reason != "cancelled" and self._known.claim(message.content):
                        yield Alternative(row, event)
                case Typing() | Reading() | Piece():
                    yield Alternative(row, event)
                case Prompted():
                    yield event
                case _:  # notices that it said the same, which nobody has seen
                    pass

    def _is_unwanted(self, row: int) -> bool:
        return self._stopped or self._only not in (None, row)


class _KnownTexts(Collection[str]):
    """Texts that are known by now; those who write look at them meanwhile."""

    def __init__(self, texts: Collection[str]) -> None:
        self._texts = tuple(texts)  # replaced as a whole: another thread may be reading it
        self._claiming = threading.Lock()

    def claim(self, text: str) -> bool:
        """Make a text known; False if it is already."""
        with self._claiming:
            if text in self._texts:
                return False
            self._texts = (*self._texts, text)
            return True

    def __contains__(self, text: object) -> bool:
        return text in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def _is_end(event: Event) -> bool:
    return isinstance(event, Alternative) and isinstance(event.event, Said)


def _next(told: queue.SimpleQueue[Event | None]) -> Event | None:
    while True:
        try:
            return told.get(timeout=PATIENCE)
        except queue.Empty:
            continue
