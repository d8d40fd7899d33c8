"""A made-up machine, and what `load` does on it: each try, each model made and freed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_cpp as lib
import pytest

from relay_gguf import LlamaEngine
from relay_gguf.engine import Token
from relay_gguf.errors import MemoryShortError
from relay_gguf.fit.memory import GIB
from relay_gguf.fit.placement import LoadSettings, Plan
from relay_gguf.llama import load as llama_load
from relay_gguf.machine.devices import Gpu, Machine
from relay_gguf.sampling import SamplingParams

CARD = Gpu("CUDA0", "a card", "CUDA", 6 * GIB, 6 * GIB)


class Watched:
    """What `load` did: settings of each `_load`, and each model that llama.cpp freed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.plans: list[Plan] = []
        self.n_loads = self.n_freed = self.n_freed_contexts = 0
        self.failures = 0
        self._wrap("llama_model_load_from_file", self._loading)
        self._wrap("llama_model_free", self._freeing)
        self._wrap("llama_free", self._freeing_context)
        self._load = llama_load._load
        monkeypatch.setattr(llama_load, "_load", self._loaded)

    def machine(self, available: int, *gpus: Gpu) -> None:
        """Pretend that this is the machine."""
        self.found = Machine(64 * GIB, available, 0.0, gpus)
        self.monkeypatch.setattr(llama_load, "this_machine", lambda *, timed: self.found)

    @property
    def settings(self) -> list[LoadSettings]:
        """Of each try."""
        return [plan.settings for plan in self.plans]

    def _wrap(self, name: str, wrapper: Any) -> None:
        real = getattr(lib, name)
        self.monkeypatch.setattr(lib, name, lambda *args: wrapper(real, *args))

    def _loading(self, real: Any, path: bytes, params: Any) -> Any:
        self.n_loads += not params.no_alloc
        model = real(path, params)
        self.n_freed -= bool(model)
        return model

    def _freeing(self, real: Any, model: Any) -> None:
        self.n_freed += 1
        real(model)

    def _freeing_context(self, real: Any, ctx: Any) -> None:
        self.n_freed_contexts += 1
        real(ctx)

    def _loaded(self, path: Path, plan: Plan, **rest: Any) -> Any:
        self.plans.append(plan)
        if len(self.plans) <= self.failures:
            raise MemoryShortError(f"failure {len(self.plans)}")
        return self._load(path, plan, **rest)


def answers(engine: LlamaEngine) -> bool:
    """Whether it generates."""
    ids = engine.tokenize("How do you do?")
    steps = list(engine.generate(ids, SamplingParams(max_tokens=2, seed=1)))
    return any(isinstance(step, Token) for step in steps)
