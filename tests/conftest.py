"""Fixtures: folders of no one, and the real engine on small models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from relay_gguf import LlamaEngine
from relay_gguf.demo import demo_model

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the folders of the person who runs it."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("NO_COLOR", "RELAY_MODEL", "RELAY_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, Q4_1."""
    return demo_model()


@pytest.fixture(scope="session")
def smollm2_engine(smollm2: Path) -> Iterator[LlamaEngine]:
    """The real model, loaded once."""
    with LlamaEngine(smollm2) as engine:
        yield engine
