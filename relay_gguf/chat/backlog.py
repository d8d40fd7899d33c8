"""Typed lines that wait for their turn, and the thread in which the model answers them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from relay_gguf.conversation.events import Event, Piece, Reading
from relay_gguf.conversation.session import Session


class Backlog:
    """Lines on their way to the model: one that is being answered, and those behind it.

    `waiting` are the lines that were not begun, oldest first; `busy` says that one was. All calls
    come from one thread, the reader's; the session is used in a thread of its own.
    """

    def __init__(self, session: Session, tell: Callable[[Event | BaseException | None], None]):
        """Begin without a line.

        Args:
            session: the conversation.
            tell: is called in the session's thread with each event, with None when a line is
                done, and with an error that ended it.
        """
        self.waiting: deque[str] = deque()
        self.busy = False
        self.status = session.status
        self._session = session
        self._tell = tell
        self._stopped = False
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="conversation", daemon=True)
        self._thread.start()

    def next(self) -> str | None:
        """Hand the next line to the model, and return it; None if there is none."""
        self.busy, self._stopped = bool(self.waiting), False
        if not self.waiting:
            return None
        line = self.waiting.popleft()
        self._lines.put(line)
        return line

    def enter(self, line: str) -> None:
        """Let a line wait behind the others."""
        self.waiting.append(line)
        self._session.hush()

    def stop(self) -> None:
        """Stop the reply; what the model has written of it is kept."""
        self._stopped = True
        self._session.cancel()

    def close(self) -> None:
        """Stop the reply, and wait until it is kept."""
        self.waiting.clear()
        self.stop()
        self._lines.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                for event in self._session.submit(line):
                    if self._stopped:  # perhaps before there was anything to stop
                        self._session.cancel()
                    if not isinstance(event, Piece | Reading):
                        self.status = self._session.status
                    self._tell(event)
                self.status = self._session.status
            except BaseException as error:
                self._tell(error)
            self._tell(None)
