"""What engines on a GGUF file share, in whichever process llama.cpp has it; one in this process."""

from __future__ import annotations

import ctypes
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from relay_gguf.engine import ControlTokens
from relay_gguf.errors import EngineError
from relay_gguf.fit.placement import Plan
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.machine.cpu import check_threads, physical_cores

from .contexts.context_folder import ContextFolder
from .contexts.identity import context_identity
from .kv_cache import abort_callback
from .load import Loaded, check_file, free, load
from .thread import JobThread, wait
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

    def tokenize_prompt(self, text: str) -> list[int]:
        """The ids of a prompt's text, in which texts of control tokens are these tokens; no BOS."""
        return self._words.tokenize(text, parse_special=True)

    def control_texts(self) -> frozenset[str]:
        """The texts of all control tokens of the vocabulary."""
        return self._words.control_texts()

    def pieces(self) -> list[bytes]:
        """The bytes of every token, (n_vocab,); empty for a control token."""
        return self._words.pieces()

    @property
    def added_bos(self) -> int | None:
        """The token that the file wants before a text, whichever it is; None if it wants none."""
        return self._words.added_bos

    def ends(self) -> frozenset[int]:
        """The ids of all tokens that end a text or a turn, as llama.cpp judges them."""
        return self._words.ends()

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


class LoadedEngine(GgufEngine):
    """A GGUF file in this process's memory, and the thread that owns its context."""

    def __init__(
        self,
        path: str | Path,
        options: LoadOptions,
        *,
        n_threads: int | None,
        on_progress: Callable[[float], None] | None,
        thread: str,
        any_chat: bool = False,
    ) -> None:
        """Load a model; Ctrl-C stops it at once.

        Args:
            path, options, n_threads, on_progress: as for `LlamaEngine`.
            thread: the name of its thread.
            any_chat: whether a model of another chat format than ChatML will do.

        Raises:
            ModelError, MemoryShortError, SettingsError: as `LlamaEngine`.
        """
        check_file(Path(path))
        check_threads(n_threads)
        self.n_threads = n_threads or physical_cores()
        self._flag = flag = ctypes.create_string_buffer(2)
        self._thread = JobThread(thread)
        self._held = LlamaHeld(self._thread, flag)
        super().__init__(Path(path), self._held)
        loading = self._thread.submit(
            load,
            self._path,
            options,
            n_threads=self.n_threads,
            abort=abort_callback(flag),
            on_progress=on_progress,
            wanted=lambda: flag[0] == b"\0",
            any_chat=any_chat,
        )
        try:
            loaded = self._held.loaded = wait(loading)
            self._tokenizer = self._held.tokenizer = Tokenizer(loaded.vocab)
        except BaseException:
            flag[0] = b"\1"
            if loading.exception() is None:  # Ctrl-C came when the model was all but loaded
                self._held.loaded = loading.result()
            self._release()
            raise

    @property
    def _model(self) -> Loaded:
        """The loaded model: llama.cpp crashes the process when it is given a freed one.

        Raises:
            EngineError: the engine was closed, or this is a forked process.
        """
        self._refuse_fork()
        if self._held.loaded is None:
            raise EngineError("The model is closed.")
        return self._held.loaded

    @property
    def n_vocab(self) -> int:
        """The size of the vocabulary: ids are less."""
        return self._model.n_vocab

    def _context_folder(self, folder: Path | None) -> ContextFolder | None:
        """The contexts of this model in a folder."""
        if folder is None:
            return None
        return ContextFolder(folder, context_identity(self._path, self._model.plan.settings))


class LlamaHeld:
    """An engine's thread, and what that thread has loaded.

    `second` free further contexts on the model; llama.cpp must not be left with one without model.
    """

    def __init__(self, thread: JobThread, flag: ctypes.Array[ctypes.c_char]) -> None:
        self.loaded: Loaded | None = None
        self.tokenizer: Tokenizer | None = None
        self.second: list[Callable[[], None]] = []
        self.thread = thread
        self._flag = flag

    def release(self) -> None:
        """Free the model after the job in flight, which is cancelled, and end the thread."""
        self._flag[0] = b"\1"
        if self.tokenizer is not None:
            self.tokenizer.close()
        loaded, self.loaded = self.loaded, None
        self.thread.stop(None if loaded is None else partial(self._free, loaded))

    def _free(self, loaded: Loaded) -> None:
        for free_one in self.second:
            free_one()
        free(loaded)


def _release(held: Held, pid: int) -> None:
    """Free what an engine held, unless this is a forked process: the model is not its own."""
    if os.getpid() == pid:
        held.release()
