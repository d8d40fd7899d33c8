"""The threads in which sessions generate, as many as replies are generated at once."""

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
    """Runs sessions in threads, each one's runs in their order, and presents their events."""

    def __init__(self, n_threads: int = 1) -> None:
        """Threads, which `close` ends; what comes when all are busy waits."""
        self._threads = ThreadPoolExecutor(n_threads, "relay-irc")
        self._running: set[Scene] = set()

    async def run(
        self, scene: Scene, events: Callable[[], Iterator[Event]], presenter: Presenter
    ) -> None:
        """Run a scene until its events end; cancelling this stops the reply and keeps its text.

        Args:
            scene: the scene whose session yields the events.
            events: yields them, in a thread.
            presenter: shows them, in the event loop.
        """
        scene.runs += 1
        try:
            async with scene.turn:
                await self._run(scene, events, presenter)
        finally:
            scene.runs -= 1
            presenter.end_typing()

    async def _run(
        self, scene: Scene, events: Callable[[], Iterator[Event]], presenter: Presenter
    ) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def work() -> None:
            self._running.add(scene)
            try:
                for event in events():
                    loop.call_soon_threadsafe(queue.put_nowait, event)
            finally:
                self._running.discard(scene)
                loop.call_soon_threadsafe(queue.put_nowait, None)

        done = self._threads.submit(work)
        try:
            await _present(queue, presenter)
            await asyncio.wrap_future(done)
        except asyncio.CancelledError:
            if not done.cancel():  # it has begun: its text so far is to be saved
                scene.session.cancel()
                while not done.done():
                    await asyncio.sleep(0.01)
            raise

    def cancel(self, scene: Scene | None = None) -> None:
        """Stop the replies in flight; with `scene`, only a reply of that scene."""
        for running in list(self._running):
            if scene in (None, running):
                running.session.cancel()

    def close(self) -> None:
        """Stop the replies in flight, and wait until the threads have ended."""
        self.cancel()
        self._threads.shutdown()


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
