"""The child process of an `IsolatedEngine` as its parent sees it: numbered calls and replies."""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

from relay_gguf import child
from relay_gguf.debug import log_lines_of
from relay_gguf.workers.address import Address
from relay_gguf.workers.protocol import silent

from .serving import Cancel, EngineCall, EngineReply, received
from .vocab_only import VocabOnly

Replies = queue.SimpleQueue[EngineReply | None]
"""The replies to a call; None when the process has ended."""


class EndedError(Exception):
    """The child has ended; the text says how: `SIGABRT`."""


class Process:
    """A child process, and a queue of replies for each numbered call."""

    def __init__(self) -> None:
        """Start the child."""
        self.debug = logging.getLogger("relay_gguf").isEnabledFor(logging.DEBUG)
        # Not our own stderr: its lines would stand in the middle of a chat's input line.
        stderr = subprocess.PIPE if self.debug else subprocess.DEVNULL
        self._process = child.start("relay_gguf.llama.isolated.serving", stderr=stderr)
        if (log := self._process.stderr) is not None:
            threading.Thread(target=log_lines_of, args=(log,), daemon=True).start()
        self._waiting: dict[int, Replies] = {}
        self._lock = threading.Lock()
        self._gone = False
        threading.Thread(target=self._read, name="relay-isolated", daemon=True).start()

    def call(self, number: int, name: str, *arguments: Any) -> Replies:
        """Send a call; returns the queue of its replies, with None when the child ends."""
        replies: Replies = queue.SimpleQueue()
        with self._lock:
            if self._gone:
                replies.put(None)
            self._waiting[number] = replies
        self.send(EngineCall(number, name, arguments))
        return replies

    def send(self, message: EngineCall | Cancel) -> None:
        """Send the child a message; a child that has ended is ignored."""
        data = pickle.dumps(message)
        with self._lock:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(data)
                self._process.stdin.flush()

    def forget(self, number: int) -> None:
        """Drop the queue of a call whose replies nobody reads any more."""
        with self._lock:
            self._waiting.pop(number, None)

    @property
    def how(self) -> str:
        """How the child ended: `SIGABRT`, `exit code 3`."""
        return child.died_of(self._process.wait(child.EXIT_SECONDS))

    def kill(self) -> None:
        """End the child, if it has not ended by itself."""
        child.kill(self._process)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for reply in received(self._process.stdout):
            with self._lock:
                waiting = self._waiting.get(reply.number)
            if waiting is not None:
                waiting.put(reply)
        with self._lock:
            self._gone = True
            left = list(self._waiting.values())
        for waiting in left:
            waiting.put(None)


def blame(workers: Sequence[Address], how: str) -> tuple[str, int]:
    """Why a child has ended: the workers that no longer answer.

    Args:
        workers: that the child used.
        how: it ended, `SIGABRT`.

    Returns:
        A text for the user, and the number of these workers.
    """
    mute = silent(workers)
    if mute:
        return " ".join(map(str, mute.values())), len(mute)
    names = " and ".join(map(str, workers))
    return f"llama.cpp ended ({how}), perhaps because a worker failed; {names} answer now.", 0


class IsolatedHeld:
    """The child that has the model, and the vocabulary that this process has."""

    def __init__(self) -> None:
        self.child: Process | None = None
        self.vocabulary: VocabOnly | None = None

    def release(self) -> None:
        """End the child, and free the vocabulary."""
        running, self.child = self.child, None
        if running is not None:
            running.kill()
        if self.vocabulary is not None:
            self.vocabulary.close()
