"""The thread in which sessions generate: there is one engine, so they take turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from relay_gguf.conversation.events import Event

from .presenter import Presenter
from .scene import Scene

TYPING: Final = 3.0
"""Seconds between two typing notifications, each of which lasts for six (IRCv3 typing)."""


class Runner:
    """Runs one session after another in a thread, and presents their events as they come."""

    def __init__(self) -> None:
        """A thread, which `close` ends."""
        self._thread = ThreadPoolExecutor(1, "relay-irc")
        self._running: Scene | None = None

    async def run(
        self, scene: Scene, events: Callable[[], Iterator[Event]], presenter: Presenter
    ) -> None:
        """Run a scene until its events end; cancelling this stops the reply and keeps its text.

        Args:
            scene: the scene whose session yields the events.
            events: yields them, in the thread.
            presenter: shows them, in the event loop.
        """
        scene.runs += 1
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def work() -> None:
            self._running = scene
            try:
                for event in events():
                    loop.call_soon_threadsafe(queue.put_nowait, event)
            finally:
                self._running = None
                loop.call_soon_threadsafe(queue.put_nowait, None)

        done = self._thread.submit(work)
        try:
            await _present(queue, presenter)
            await asyncio.wrap_future(done)
        except asyncio.CancelledError:
            if not done.cancel():  # it has begun: its text so far is to be saved
                scene.session.cancel()
                while not done.done():
                    await asyncio.sleep(0.01)
            raise
        finally:
            scene.runs -= 1
            presenter.end_typing()

    def cancel(self, scene: Scene | None = None) -> None:
        """Stop the reply in flight; with `scene`, only if it is a reply of that scene."""
        running = self._running
        if running is not None and scene in (None, running):
            running.session.cancel()

    def close(self) -> None:
        """Stop the reply in flight, and wait until the thread has ended."""
        self.cancel()
        self._thread.shutdown()


async def _present(queue: asyncio.Queue[Event | None], presenter: Presenter) -> None:
    """Present events until None comes."""
    while True:
        try:
            event = await asyncio.wait_for(queue.get(), TYPING)
        except asyncio.TimeoutError:
            presenter.still_typing()
            continue
        if event is None:
            return
        presenter.show(event)
