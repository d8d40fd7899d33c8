"""Where scenes are played: one engine and one thread, so that they take turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from relay_gguf.conversation.events import Event

from .presenter import Showing
from .scene import Scene

TYPING: Final = 3.0
"""Seconds between two signs of typing; one lasts for six (IRCv3 typing)."""


class Stage:
    """Lets one session after the other do something, and shows what happens while it does."""

    def __init__(self) -> None:
        """An empty stage; `close` ends its thread."""
        self._thread = ThreadPoolExecutor(1, "relay-irc")
        self._playing: Scene | None = None

    async def play(
        self, scene: Scene, events: Callable[[], Iterator[Event]], showing: Showing
    ) -> None:
        """Play a scene on; returns when it is over, and stops it when it is cancelled.

        Args:
            scene: whose session yields the events.
            events: yields them, in the stage's thread.
            showing: is shown them, in the event loop.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def work() -> None:
            self._playing = scene
            try:
                for event in events():
                    loop.call_soon_threadsafe(queue.put_nowait, event)
            finally:
                self._playing = None
                loop.call_soon_threadsafe(queue.put_nowait, None)

        done = self._thread.submit(work)
        try:
            await _show(queue, showing)
            await asyncio.wrap_future(done)
        except asyncio.CancelledError:
            if not done.cancel():  # it has begun: what was said so far is to be saved
                scene.session.cancel()
                while not done.done():
                    await asyncio.sleep(0.01)
            raise
        finally:
            showing.end()

    def cancel(self, scene: Scene | None = None) -> None:
        """Stop what is being played; of one scene only, if one is given."""
        playing = self._playing
        if playing is not None and scene in (None, playing):
            playing.session.cancel()

    def close(self) -> None:
        """Stop, and wait for the end."""
        self.cancel()
        self._thread.shutdown()


async def _show(queue: asyncio.Queue[Event | None], showing: Showing) -> None:
    while True:
        try:
            event = await asyncio.wait_for(queue.get(), TYPING)
        except asyncio.TimeoutError:
            showing.still_typing()
            continue
        if event is None:
            return
        showing.show(event)
