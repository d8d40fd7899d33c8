"""Replies for asyncio: each is generated in a thread, and told to the event loop as it comes."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Final, overload
from weakref import WeakKeyDictionary

from relay_gguf.conversation.events import Event, Piece
from relay_gguf.conversation.messages import Role

from .said_texts import text_of, texts_of

PATIENCE: Final = 0.05
"""Seconds after which a reply that waits for its turn looks whether it is still wanted."""

_TURNS: WeakKeyDictionary[object, threading.Lock] = WeakKeyDictionary()
_TAKING = threading.Lock()


class AsyncForms(ABC):
    """Forms of `respond` and `retry` for asyncio; they do not block its event loop.

    Cancelling the task cancels the reply; what was written by then is kept, as after `cancel`.
    Replies that use one engine without slots wait for each other, and so do those of one scene.
    """

    @abstractmethod
    def _responding(self, role: Role, n: int | None) -> Iterator[Event]:
        """The events of `respond`."""

    @abstractmethod
    def _retrying(self, role: Role, n: int | None) -> Iterator[Event]:
        """The events of `retry`."""

    @property
    @abstractmethod
    def _taker(self) -> object:
        """What generates one reply at a time."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop the reply in flight, from any thread."""

    @overload
    async def arespond(self, role: Role = "model") -> str: ...

    @overload
    async def arespond(self, role: Role = "model", *, n: int) -> list[str]: ...

    async def arespond(self, role: Role = "model", *, n: int | None = None) -> str | list[str]:
        """`respond` for asyncio. See there.

        Raises:
            ContextError, EngineError: as `respond`.
        """
        events = await self._all(lambda: self._responding(role, n))
        return text_of(events) if n is None else texts_of(events)

    @overload
    async def aretry(self, role: Role = "model") -> str: ...

    @overload
    async def aretry(self, role: Role = "model", *, n: int) -> list[str]: ...

    async def aretry(self, role: Role = "model", *, n: int | None = None) -> str | list[str]:
        """`retry` for asyncio. See there.

        Raises:
            CommandError, ContextError, EngineError: as `retry`.
        """
        events = await self._all(lambda: self._retrying(role, n))
        return text_of(events) if n is None else texts_of(events)

    async def astream(self, role: Role = "model") -> AsyncGenerator[str, None]:
        """The pieces of what `role` says, as they come; at the end it is added to the context.

        Leaving the loop early cancels the reply, once the iterator is closed: at once within
        `async with contextlib.aclosing(relay.astream()) as pieces`.

        Raises:
            ContextError, EngineError: as `respond`.
        """
        async with aclosing(self._told(lambda: self._responding(role, None))) as events:
            async for event in events:
                if isinstance(event, Piece):
                    yield event.text

    async def _all(self, start: Callable[[], Iterator[Event]]) -> list[Event]:
        async with aclosing(self._told(start)) as events:
            return [event async for event in events]

    def _told(self, start: Callable[[], Iterator[Event]]) -> AsyncGenerator[Event, None]:
        return told(start, self.cancel, _turn(self._taker))


async def told(
    start: Callable[[], Iterator[Event]], cancel: Callable[[], None], turn: threading.Lock
) -> AsyncGenerator[Event, None]:
    """The events of a reply, which a thread generates.

    Closing the iterator, as cancelling the task does, cancels the reply and waits for its end.

    Args:
        start: begins the events, in the thread.
        cancel: stops the reply, from any thread.
        turn: is held while the reply is generated.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
    unwanted = threading.Event()

    def tell(event: Event | BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(queue.put_nowait, event)

    def work() -> None:
        try:
            if _taken(turn, unwanted):
                try:
                    for event in start():
                        if unwanted.is_set():  # perhaps before there was anything to stop
                            cancel()
                        tell(event)
                finally:
                    turn.release()
        except BaseException as error:
            tell(error)
        tell(None)

    threading.Thread(target=work, name="relay-reply", daemon=True).start()
    last: Event | BaseException | None = Piece("")
    try:
        while (last := await queue.get()) is not None:
            if isinstance(last, BaseException):
                raise last
            yield last
    finally:
        if last is not None:
            unwanted.set()
            cancel()
            while await queue.get() is not None:
                pass


def _taken(turn: threading.Lock, unwanted: threading.Event) -> bool:
    """Wait for a turn; False, and it is not taken, if the reply is not wanted any more."""
    while not turn.acquire(timeout=PATIENCE):
        if unwanted.is_set():
            return False
    if unwanted.is_set():
        turn.release()
        return False
    return True


def _turn(taker: object) -> threading.Lock:
    """The turn of what generates one reply at a time."""
    with _TAKING:
        return _TURNS.setdefault(taker, threading.Lock())
