"""The log that --debug shows."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final, TextIO

NAMES: Final = ("relay_gguf", "gguf", "metadata")  # the last is the gguf package's too


def log_everything(stream: TextIO | None = None) -> None:
    """Write our log, llama.cpp's and gguf's to a stream, stderr if it is None, from DEBUG on.

    Other libraries' logs stay out: they may hold an access token, and people post what they see.
    """
    from .display import visible

    class Harmless(logging.Formatter):
        """Makes control characters visible: a model file's text in the log may hold them."""

        def format(self, record: logging.LogRecord) -> str:
            return visible(super().format(record))

    handler = logging.StreamHandler(stream)
    handler.setFormatter(Harmless("%(name)s: %(message)s"))
    for name in NAMES:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.DEBUG)


@contextmanager
def log_shown_by(show: Callable[[str], None]) -> Iterator[None]:
    """Within the block, what the log would write to a terminal goes to `show`, in any thread.

    A log that goes to a file or a pipe goes on to do so.
    """

    class Shown(io.StringIO):
        def write(self, text: str) -> int:
            show(text.rstrip("\n"))
            return len(text)

    handlers = [
        handler
        for handler in logging.getLogger(NAMES[0]).handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    before = [(handler, handler.stream) for handler in handlers if handler.stream.isatty()]
    for handler, _ in before:
        handler.setStream(Shown())
    try:
        yield
    finally:
        for handler, stream in before:
            handler.setStream(stream)


def log_lines_of(pipe: IO[bytes]) -> None:
    """Write what a child process logs to where our own log goes, until the pipe ends."""
    with pipe:
        for line in pipe:
            told = line.decode("utf-8", "replace").rstrip()
            name, _, text = told.partition(": ")
            if name.split(".")[0] in NAMES:
                logging.getLogger(name).debug("%s", text)
            else:  # a C library's, or a traceback
                logging.getLogger("relay_gguf.child").debug("%s", told)
