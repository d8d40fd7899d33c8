"""The log that --debug shows."""

from __future__ import annotations

import logging


def log_everything() -> None:
    """Write our log, llama.cpp's and gguf's to stderr, from DEBUG on.

    Other libraries' logs stay out: they may hold an access token, and people post what they see.
    """
    from .display import visible

    class Harmless(logging.Formatter):
        """Makes control characters visible: a model file's text in the log may hold them."""

        def format(self, record: logging.LogRecord) -> str:
            return visible(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Harmless("%(name)s: %(message)s"))
    for name in ("relay_gguf", "gguf", "metadata"):  # the last is the gguf package's too
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.DEBUG)
