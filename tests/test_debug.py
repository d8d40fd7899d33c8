"""The log that --debug shows, where a child process has a part in it."""

from __future__ import annotations

import io
import logging

import pytest

from relay_gguf.debug import log_lines_of


def test_a_childs_log_goes_where_ours_goes(caplog: pytest.LogCaptureFixture) -> None:
    """Not to the terminal by itself: there it would stand in a chat's input line."""
    with caplog.at_level(logging.DEBUG, "relay_gguf"):
        log_lines_of(io.BytesIO(b"relay_gguf.llama.cpp: n_ctx: 512\nTraceback: \xff\nhuggingface"))
    assert [(record.name, record.message) for record in caplog.records] == [
        ("relay_gguf.llama.cpp", "n_ctx: 512"),
        ("relay_gguf.child", "Traceback: �"),
        ("relay_gguf.child", "huggingface"),
    ]
