"""Fixtures: a conversion that is wanted, what it makes, and the tensors that it reads."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pytest
from conversions import Pair, converted, request
from stopped_runs import TYPES

from relay_gguf.convert.arch.weights import ModelWeights, Tensor
from relay_gguf.convert.request import Request


@pytest.fixture(scope="session")
def wanted(pico_mistral: Pair) -> Request:
    return request(pico_mistral.base, *TYPES, adapter=pico_mistral.adapter)


@pytest.fixture(scope="session")
def whole(wanted: Request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted conversion makes."""
    out = tmp_path_factory.mktemp("whole")
    converted(wanted, out)
    return out


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tensors that are read, in order."""
    names: list[str] = []
    original = ModelWeights.open

    def spy(self: ModelWeights, tensor: Tensor, pool: Executor | None = None) -> Any:
        names.append(tensor.name)
        return original(self, tensor, pool)

    monkeypatch.setattr(ModelWeights, "open", spy)
    return names
