"""What every engine on a GGUF file tells of its model, in whichever process llama.cpp has it."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol, TypeVar

from relay_gguf.engine import ControlTokens
from relay_gguf.errors import EngineError
from relay_gguf.fit.placement import Plan

from .tokenizer import Tokenizer

Self = TypeVar("Self", bound="GgufEngine")


class ModelInfo(Protocol):
    """What is known of a model once it is loaded."""

    @property
    def n_ctx(self) -> int:
        """Tokens that a prompt and its reply may have together."""

    @property
    def n_tries(self) -> int:
        """Loads that it took."""

    @property
    def control(self) -> ControlTokens:
        """The tokens that frame a turn."""

    @property
    def plan(self) -> Plan:
        """Which part of the model is on which device."""


class Held(Protocol):
    """What an engine lets go of when nobody uses it any more; it may not refer to the engine."""

    def release(self) -> None:
        """Free it. Called once: by `close`, when the engine is garbage, or at exit."""


class GgufEngine(ABC):
    """A loaded GGUF file: its name, its plan, its vocabulary.

    Leaving a `with` block closes it; so does dropping the last reference to it.
    """

    def __init__(self, path: Path, held: Held) -> None:
        """Begin with nothing loaded; subclasses set `_tokenizer` when there is a vocabulary."""
        self._path = path
        self._tokenizer: Tokenizer | None = None
        self._pid = os.getpid()
        # Not `atexit`, which would keep the engine, and with it the model, until the end.
        self._release = weakref.finalize(self, _release, held, self._pid)

    @property
    @abstractmethod
    def _model(self) -> ModelInfo:
        """The loaded model.

        Raises:
            EngineError: the engine was closed.
        """

    def close(self) -> None:
        """Free the model: Metal aborts a process that ends with a model loaded.

        A second call does nothing.
        """
        if os.getpid() == self._pid:
            self._release()

    def _refuse_fork(self) -> None:
        """Refuse to compute in a forked process, which has the engine but not its thread.

        Raises:
            EngineError: this is not the process that loaded the model.
        """
        if os.getpid() != self._pid:
            raise EngineError(
                "This process was forked from the one that loaded the model, and cannot compute "
                "with it. Load the model here; multiprocessing does that with the start method "
                "'spawn'."
            )

    @property
    def path(self) -> Path:
        """The model's file."""
        return self._path

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self._path.stem

    @property
    def n_ctx(self) -> int:
        """Tokens that a prompt and its reply may have together."""
        return self._model.n_ctx

    @property
    def plan(self) -> Plan:
        """Which part of the model is on which device."""
        return self._model.plan

    @property
    def n_tries(self) -> int:
        """Loads that it took: after one that failed for memory, a smaller plan was loaded."""
        return self._model.n_tries

    @property
    def control(self) -> ControlTokens:
        """The tokens that frame a turn."""
        return self._model.control

    @property
    def vocabulary(self) -> str:
        """SHA-256 over all tokens' texts, hexadecimal."""
        return self._words.fingerprint

    def tokenize(self, text: str) -> list[int]:
        """The ids of `text`, in which control tokens are plain text; no BOS."""
        return self._words.tokenize(text)

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty for a control token.

        Raises:
            EngineError: there is no such token; llama.cpp would end the process.
        """
        return self._words.piece(token)

    @property
    def _words(self) -> Tokenizer:
        if self._tokenizer is None:
            raise EngineError("The model is closed.")
        return self._tokenizer

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _release(held: Held, pid: int) -> None:
    """Free what an engine held, unless this is a forked process: the model is not its own."""
    if os.getpid() == pid:
        held.release()
