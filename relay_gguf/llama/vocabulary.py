"""A model's vocabulary alone, without its weights: text to ids and back."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Any

from relay_gguf.errors import EngineError

from .devices import device_array
from .log import LogLines, explain
from .native import lib
from .tokenizer import fingerprint, piece, tokenize


class Vocabulary:
    """The vocabulary of a GGUF file; any thread may ask."""

    def __init__(self, path: Path) -> None:
        """Read it, which takes no device.

        Raises:
            ModelError: llama.cpp cannot read the file.
        """
        self._freeing = threading.Lock()
        self._handle: Any = None
        self._fingerprint = ""
        params = lib.llama_model_default_params()
        none = device_array([])
        params.devices = ctypes.cast(none, ctypes.c_void_p)
        params.vocab_only, params.n_gpu_layers = True, 0
        with LogLines() as lines:
            self._handle = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self._handle:
            raise explain(path, lines.lines)
        self._vocab = lib.llama_model_get_vocab(self._handle)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all tokens' texts, hexadecimal."""
        with self._freeing:
            self._check()
            self._fingerprint = self._fingerprint or fingerprint(self._vocab)
            return self._fingerprint

    def tokenize(self, text: str) -> list[int]:
        """The ids of `text`, in which control tokens are plain text; no BOS."""
        with self._freeing:
            self._check()
            return tokenize(self._vocab, text, parse_special=False)

    def piece(self, token: int) -> bytes:
        """The bytes of a token, whatever their number; nothing for a control token.

        Raises:
            EngineError: there is no such token.
        """
        with self._freeing:
            self._check()
            return piece(self._vocab, token)

    def close(self) -> None:
        """Free it."""
        with self._freeing:
            if self._handle:
                lib.llama_model_free(self._handle)
            self._handle = None

    def _check(self) -> None:
        if not self._handle:
            raise EngineError("The model is closed.")
