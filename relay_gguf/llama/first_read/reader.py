"""The child process that reads a file with llama.cpp as a chat would, and may die of it.

Run by `ask_reader` as `python -m relay_gguf.llama.first_read.reader OPTIONS`, with a JSON object of
options; it prints `{"refused": WHY}`, in which WHY is empty where llama.cpp reads the file, or
`{"trouble": WHY}` if it could not find that out.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from relay_gguf.child import end_with_parent, replies

N_CTX: Final = 256
MOST_MEMORY: Final = 2 << 30
"""Bytes that reading a header may take."""
TEXT: Final = "".join(map(chr, range(0x180))) + "▁ \U0001f680\ue000\u4f60 ’<|im_start|><|im_end|>"
"""Every byte that UTF-8 has for letters and signs, and tokens that frame a turn."""


def main() -> None:
    """Read the file that the options name, and tell why llama.cpp refuses it."""
    options = json.loads(sys.argv[1])
    out = replies()
    try:
        told = {"refused": _refused(options["paths"], vocab_only=options["vocab_only"])}
    except Exception as error:  # too little memory, a full disk: nothing that the file did
        told = {"trouble": f"{type(error).__name__}: {error}"}
    out.write(json.dumps(told).encode() + b"\n")
    out.flush()
    os._exit(0)


def _refused(paths: list[str], *, vocab_only: bool) -> str:
    """Why llama.cpp refuses the file; empty if it does not."""
    from relay_gguf.llama.backends import device_array
    from relay_gguf.llama.log import LogLines
    from relay_gguf.llama.native import lib

    _limit_memory()
    end_with_parent()  # on Windows, no library can be loaded while a thread reads stdin
    lib.llama_backend_init()
    params = lib.llama_model_default_params()
    none = device_array([])
    params.devices = ctypes.cast(none, ctypes.c_void_p)
    params.n_gpu_layers, params.load_mode = 0, lib.LLAMA_LOAD_MODE_NONE
    params.vocab_only, params.no_alloc = vocab_only, not vocab_only
    names = (ctypes.c_char_p * len(paths))(*map(os.fsencode, paths))
    with LogLines() as lines:
        model = lib.llama_model_load_from_splits(names, len(paths), params)
        ctx = _context(lib, model) if model and not vocab_only else None
    if not model or not (ctx or vocab_only):
        errors = [line for level, line in lines.lines if level >= 4]
        return errors[0] if errors else "it gave no reason"
    _tokenize(lib, model)
    return ""


def _limit_memory() -> None:
    """Let an allocation fail that no header needs: some loops of llama.cpp's fill the memory."""
    try:
        import resource

        status = Path("/proc/self/status").read_text("ascii", "replace")
        taken = int(status.partition("VmData:")[2].split()[0]) << 10
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (taken + MOST_MEMORY, most))
    except (ImportError, OSError, ValueError, IndexError):  # another system than Linux
        return


def _context(lib: Any, model: Any) -> Any:
    settings = lib.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = N_CTX, N_CTX, N_CTX
    settings.n_outputs_max, settings.flash_attn_type = 1, -1
    return lib.llama_init_from_model(model, settings)


def _tokenize(lib: Any, model: Any) -> None:
    """Turn a text into tokens, and each token into text: both may end the process."""
    from relay_gguf.llama.tokenizer import piece, tokenize

    vocab = lib.llama_model_get_vocab(model)
    if lib.llama_vocab_type(vocab) == lib.LLAMA_VOCAB_TYPE_NONE:
        return
    for parse_special in (False, True):
        tokenize(vocab, TEXT, parse_special=parse_special)
    for token in range(lib.llama_vocab_n_tokens(vocab)):
        piece(vocab, token)


if __name__ == "__main__":
    main()
