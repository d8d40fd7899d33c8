"""What --debug shows: errors with their traceback, and the log."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

Debug = Annotated[bool, typer.Option("--debug", help="Show the log, and errors in full.")]
"""An option of each command. They need not read it: the command line does, before they run."""


def log_everything() -> None:
    """llama.cpp's log, and ours, on stderr. Others' may hold a token: people show what they see."""
    from .display import visible

    class Harmless(logging.Formatter):
        """Model files' words are in the log, and a terminal would obey some of them."""

        def format(self, record: logging.LogRecord) -> str:
            return visible(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Harmless("%(name)s: %(message)s"))
    for name in ("relay_gguf", "gguf", "metadata"):  # the last is the gguf package's too
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.DEBUG)
