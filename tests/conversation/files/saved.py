"""Chats that are saved in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fake import fake_session

from relay_gguf.conversation.session import Session
from relay_gguf.conversation.session_files import sessions


@contextmanager
def chat(
    folder: Path,
    *replies: str | bytes,
    n_ctx: int = 1 << 20,
    vocabulary: str = "bytes",
    max_tokens: int = 128,
) -> Iterator[Session]:
    session = fake_session(
        replies, folder, n_ctx=n_ctx, vocabulary=vocabulary, max_tokens=max_tokens
    )
    try:
        yield session
    finally:
        session.close()


def only_file(folder: Path) -> Path:
    (path,) = sessions(folder)
    return path
