"""llama.cpp's own samplers, one after the other over one row of logits."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from relay_gguf.llama.native import lib

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits


def dry_sampler(vocab: Any, breakers: Sequence[bytes], *values: float) -> Any:
    """`llama_sampler_init_dry` with multiplier, base, allowed length and last n."""
    texts = (ctypes.c_char_p * len(breakers))(*breakers)
    return lib.llama_sampler_init_dry(vocab, *values, texts, len(breakers))


def applied(logits: Logits, history: Sequence[int], *samplers: Any) -> dict[int, float]:
    """The ids that are left, in their order, and their logits."""
    rows = (lib.llama_token_data * logits.size)()
    view = np.ctypeslib.as_array(rows)
    view["id"], view["logit"] = np.arange(logits.size), logits
    array = lib.llama_token_data_array(rows, logits.size, -1, False)
    for sampler in samplers:
        lib.llama_sampler_reset(sampler)
        for token in history:
            lib.llama_sampler_accept(sampler, token)
        lib.llama_sampler_apply(sampler, ctypes.byref(array))
    left = np.ctypeslib.as_array(array.data, (array.size,))
    return dict(zip(left["id"].tolist(), left["logit"].tolist(), strict=True))
