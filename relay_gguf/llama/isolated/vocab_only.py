"""A model's vocabulary without its weights: text to ids and back."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from relay_gguf.engine import ControlTokens
from relay_gguf.llama.backends import device_array
from relay_gguf.llama.first_read.first_read import readable_model
from relay_gguf.llama.log import LogLines, explain
from relay_gguf.llama.native import lib
from relay_gguf.llama.tokenizer import Tokenizer, find_control


class VocabOnly(Tokenizer):
    """The vocabulary of a GGUF file that is not loaded in this process."""

    def __init__(self, path: Path) -> None:
        """Read the vocabulary, which takes no device.

        Raises:
            ModelError: llama.cpp cannot read the file, or would end this process over it.
        """
        readable_model(path)
        params = lib.llama_model_default_params()
        none = device_array([])
        params.devices = ctypes.cast(none, ctypes.c_void_p)
        params.vocab_only, params.n_gpu_layers = True, 0
        with LogLines() as lines:
            self._model: Any = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            raise explain(path, lines.lines)
        self._path = path
        self._control: ControlTokens | None = None
        super().__init__(lib.llama_model_get_vocab(self._model))

    @property
    def control(self) -> ControlTokens:
        """The tokens that frame a turn.

        Raises:
            ModelError: the vocabulary lacks them, or the model cannot generate text.
        """
        if self._control is None:
            with self._using:
                self._control = find_control(self._path, self._model, self._open())
        return self._control

    def close(self) -> None:
        """Free the vocabulary; a second call does nothing."""
        super().close()
        model, self._model = self._model, None
        if model:
            lib.llama_model_free(model)
