"""Models and a session for the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake import fake_session, run
from pico import write_pico

from relay_gguf.folders import sessions_folder


@pytest.fixture(scope="session")
def short(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that was trained on 512 tokens."""
    return write_pico(tmp_path_factory.mktemp("short") / "short.gguf", smollm2, n_ctx_train=512)


@pytest.fixture
def tale() -> Path:
    """A saved session of two scenes."""
    session = fake_session(["hello \x1b[31myou", "trout?"], sessions_folder())
    run(session, "hi", "/join #boston", "and now?", "/save tale")
    session.close()
    return sessions_folder() / "tale.jsonl"
