"""What other threads have to tell, on its way to the thread that owns the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from prompt_toolkit.application import Application

T = TypeVar("T")


class Feed(Generic[T]):
    """A queue into the event loop of an application, which takes one thing after the other."""

    def __init__(
        self,
        app: Application[Any],
        take: Callable[[T], bool],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Take nothing yet.

        Args:
            app: the owner of the terminal.
            take: is called in the loop's thread; returns whether the screen is to be drawn anew.
            fail: is called with an error of `take`, which ends the feed.
        """
        self._app = app
        self._take_one = take
        self._fail = fail
        self._told: asyncio.Queue[T] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """Begin to take, in the loop that is running."""
        self._loop = asyncio.get_running_loop()
        self._app.create_background_task(self._take_all())

    def tell(self, told: T) -> None:
        """Pass something on, from any thread; it is dropped if the loop is over."""
        self.call(lambda: self._told.put_nowait(told))

    def call(self, do: Callable[[], None]) -> None:
        """Call something in the loop, from any thread or signal handler, if there is a loop."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is over: what is said is kept all the same
                self._loop.call_soon_threadsafe(do)

    @property
    def is_empty(self) -> bool:
        """Whether everything has been taken."""
        return self._told.empty()

    async def _take_all(self) -> None:
        try:
            await self._app.renderer.wait_for_cpr_responses()
            while not self._app.is_done:
                told = await self._told.get()
                # After a stop and `fg` the terminal is asked where the cursor is: what is drawn
                # before it answers would move what stands there.
                await self._app.renderer.wait_for_cpr_responses()
                if self._take_one(told):
                    self._app.invalidate()
                if self._told.qsize() % 16 == 0:
                    await asyncio.sleep(0)  # keys have their turn too
        except Exception as error:
            self._fail(error)
