"""Loading a model: is the file one, does it fit into memory, does it speak ChatML?"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp as lib

from .devices import available_memory
from .engine import ControlTokens
from .errors import EngineError, ModelError
from .llama_log import LogLines, explain
from .memory import MemoryNeed, require
from .prompt import IM_END, IM_START

DEFAULT_N_CTX = 4096
"""What Relay was trained on. Headers lie: Mistral-Nemo's says 1,024,000."""
N_CTX_STEP = 256
"""llama.cpp pads a context to a multiple of this (src/llama-context.cpp)."""
N_BATCH = 512
"""Tokens of a prompt that are given to llama.cpp at once."""
N_UBATCH = 128
"""Tokens that it evaluates at once. As fast as 512 on a CPU, with a quarter of the work space, and
a step of the largest matrix, which cancelling waits for, is over four times as soon."""
MAX_RUN = 1024
"""Characters without a change between space and no space that are tokenized as one: the regex of
Mistral-Nemo's pre-tokenizer recurses once a character, and overflows a stack of 8 MB at 30,000."""
MAX_KV_PER_TOKEN = 1 << 20
"""Bytes of KV cache for a token: more than any published model of this kind has."""


_LONG_RUN = re.compile(rf"\S{{{MAX_RUN + 1},}}|\s{{{MAX_RUN + 1},}}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """llama.cpp's handles of a model and its context, and what is known of them."""

    model: Any
    ctx: Any
    memory: Any
    vocab: Any
    n_vocab: int
    n_ctx: int
    control: ControlTokens
    can_shift: bool
    callbacks: tuple[Any, ...]  # C holds pointers to them, Python must not free them


def load(
    path: Path,
    *,
    n_ctx: int | None,
    n_threads: int,
    n_gpu_layers: int,
    abort: tuple[Any, Any],
    on_progress: Callable[[float], None] | None,
    wanted: Callable[[], bool],
) -> Loaded:
    """Load a model and make its context.

    Args:
        path: a GGUF file.
        n_ctx: tokens; None is 4096, or fewer where the model was trained on fewer.
        n_threads: to evaluate on.
        n_gpu_layers: to put on a GPU; -1 is all.
        abort: C function and data that tell a running evaluation to stop.
        on_progress: called with the share that is loaded, 0 to 1.
        wanted: asked now and then; False ends the load.

    Raises:
        ModelError: the file is broken, of an unknown kind or no ChatML model.
        MemoryShortError: it does not fit into memory.
    """

    @lib.llama_progress_callback  # type: ignore[untyped-decorator]
    def progress(share: float, _: object) -> bool:
        if on_progress is not None:
            on_progress(share)
        return wanted()

    with LogLines() as lines:
        lib.llama_backend_init()
        check_memory(path, n_ctx or DEFAULT_N_CTX)
        params = lib.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.progress_callback = progress
        if not lib.llama_supports_gpu_offload():
            # For a CPU most quantized weights are repacked into a copy: decoding is a quarter
            # faster. A mapped file would stay in memory beside it; a read one does not.
            params.load_mode = lib.LLAMA_LOAD_MODE_NONE
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            raise explain(path, lines.lines)
        try:
            vocab = lib.llama_model_get_vocab(model)
            control = find_control(path, model, vocab)
            context = _context_params(n_ctx or DEFAULT_N_CTX)
            trained = lib.llama_model_n_ctx_train(model)
            if n_ctx is None:
                context.n_ctx = min(context.n_ctx, trained)
            elif n_ctx > trained:
                raise ModelError(
                    f"{path} reads at most {trained} tokens, --n-ctx asks for {n_ctx}. "
                    f"Take --n-ctx {trained} or less."
                )
            context.n_threads = context.n_threads_batch = n_threads
            context.abort_callback, context.abort_callback_data = abort
            ctx = lib.llama_init_from_model(model, context)
            if not ctx:
                raise explain(path, lines.lines, n_ctx=context.n_ctx)
        except BaseException:
            lib.llama_model_free(model)
            raise
    return Loaded(
        model,
        ctx,
        lib.llama_get_memory(ctx),
        vocab,
        int(lib.llama_vocab_n_tokens(vocab)),
        min(int(lib.llama_n_ctx(ctx)), trained),
        control,
        # A recurrent state says that it can, and forgets nothing.
        bool(lib.llama_memory_can_shift(lib.llama_get_memory(ctx)))
        and not lib.llama_model_is_recurrent(model)
        and not lib.llama_model_is_hybrid(model),
        (progress, abort),
    )


def free(loaded: Loaded) -> None:
    """Give back all that a model holds."""
    lib.llama_free(loaded.ctx)
    lib.llama_model_free(loaded.model)


def tokenize(vocab: Any, text: str, *, parse_special: bool) -> list[int]:
    """The ids of a text; with `parse_special`, control tokens in it are found."""
    return [
        token
        for part in _parts(text)
        for token in _tokenize(vocab, part, parse_special=parse_special)
    ]


def _parts(text: str) -> Iterator[str]:
    """The text, cut within its long runs, if it has any."""
    start = 0
    for run in _LONG_RUN.finditer(text):
        for cut in range(run.start() + MAX_RUN, run.end(), MAX_RUN):
            yield text[start:cut]
            start = cut
    yield text[start:]


def _tokenize(vocab: Any, text: str, *, parse_special: bool) -> list[int]:
    data = text.encode("utf-8", "replace")  # a lone surrogate from a broken terminal
    room = len(data) + 2
    ids = (lib.llama_token * room)()
    count = lib.llama_tokenize(vocab, data, len(data), ids, room, False, parse_special)
    if count < 0:
        raise EngineError(f"llama.cpp cannot tokenize a text of {len(data)} bytes.")
    return list(ids[:count])


def find_control(path: Path, model: Any, vocab: Any) -> ControlTokens:
    """The tokens that frame a turn.

    Raises:
        ModelError: the vocabulary lacks them, or the model cannot chat at all.
    """
    if lib.llama_vocab_type(vocab) == lib.LLAMA_VOCAB_TYPE_NONE:
        raise ModelError(f"{path} has no vocabulary: it is a part of a model, or made for tests.")
    found = {text: tokenize(vocab, text, parse_special=True) for text in (IM_START, IM_END)}
    missing = [text for text, ids in found.items() if len(ids) != 1]
    if missing:
        raise ModelError(
            f"{path} has no {' and no '.join(missing)} in its vocabulary. Relay speaks ChatML: "
            "take a Relay model, or another one that was trained with these tokens."
        )
    if lib.llama_model_has_encoder(model) or not lib.llama_model_has_decoder(model):
        raise ModelError(f"{path} is an encoder; chatting needs a decoder-only model.")
    (im_start,), (im_end,) = found[IM_START], found[IM_END]
    if not lib.llama_vocab_get_add_bos(vocab):
        return ControlTokens(im_start, im_end)
    bos = int(lib.llama_vocab_bos(vocab))
    if bos == im_start:  # SmolLM2's: the first turn begins with it anyway
        return ControlTokens(im_start, im_end)
    text = lib.llama_vocab_get_text(vocab, bos) or b""
    return ControlTokens(im_start, im_end, bos, text.decode("utf-8", "replace"))


def check_memory(path: Path, n_ctx: int) -> None:
    """Refuse what would only swap. On a GPU llama.cpp itself says what does not fit.

    Raises:
        MemoryShortError: the model and a context of `n_ctx` tokens do not fit.
    """
    available = available_memory()
    if available is None or lib.llama_supports_gpu_offload():
        return
    if 2 * path.stat().st_size + n_ctx * MAX_KV_PER_TOKEN < available:
        return
    need = measure(path, n_ctx)
    if need is not None:
        require(need, available, str(path), n_ctx)


def check_file(path: Path) -> None:
    """Refuse early what is not a GGUF file.

    Raises:
        ModelError: it is not there, cannot be read, or does not begin as a GGUF file does.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelError(f"There is no file {path}. Check the path.") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder. Name the .gguf file in it.") from None
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error
    if magic != b"GGUF":
        raise ModelError(
            f"{path} is not a GGUF file (it begins with {magic!r}). A model in another format must "
            "be converted to GGUF first."
        )


def measure(path: Path, n_ctx: int) -> MemoryNeed | None:
    """What a model would take in memory, by a load that reads no weights; None if it fails."""
    with LogLines() as lines:
        params = lib.llama_model_default_params()
        params.no_alloc, params.load_mode = True, lib.LLAMA_LOAD_MODE_NONE
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            return None
        ctx = lib.llama_init_from_model(model, _context_params(n_ctx))
        weights = int(lib.llama_model_size(model))
        if ctx:
            lib.llama_free(ctx)
        lib.llama_model_free(model)
        return MemoryNeed(weights, lines.mebibytes("KV"), lines.mebibytes("compute"))


def _context_params(n_ctx: int) -> Any:
    """A context for one conversation."""
    params = lib.llama_context_default_params()
    params.n_ctx = -(-n_ctx // N_CTX_STEP) * N_CTX_STEP
    params.n_batch, params.n_ubatch = N_BATCH, N_UBATCH
    params.n_outputs_max = 1  # one row of logits: a third of the work space
    params.flash_attn_type = -1  # auto
    return params
