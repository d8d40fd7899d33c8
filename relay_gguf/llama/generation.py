"""Evaluating a prompt and sampling a reply: the work of an engine, on its thread."""

from __future__ import annotations

import ctypes
import random
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from relay_gguf.engine import Finished, FinishReason, Prefilled, Step, Token
from relay_gguf.fit.plan import N_BATCH
from relay_gguf.sampling import SamplingParams, Seen, draw_seed

from .draw.breakers import Breakers
from .draw.chooser import Chooser
from .kv_cache import KvCache
from .load import Loaded
from .native import lib
from .prefill import FIRST_CHUNK, PrefillChunk, PrefillPace

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits

AHEAD: Final = 32
"""Tokens that are read ahead at once: a GPU goes on to their end when a reply is wanted."""


class Generation:
    """Generates with one model and its cache. `rate` is that of reading, in tokens a second."""

    def __init__(self, model: Loaded, cache: KvCache) -> None:
        """Begin with a rate of 0, which is unknown."""
        self.model, self.cache = model, cache
        self.rate = 0.0
        remote = any(share.device.startswith("RPC") for share in model.plan.shares)
        self._breakers = Breakers(model.vocab)
        self._ends: dict[int, bool] = dict.fromkeys(
            (model.control.im_start, model.control.im_end), True
        )
        self._chunk = PrefillChunk(FIRST_CHUNK if remote else N_BATCH)

    def run(
        self,
        prompt: list[int],
        params: SamplingParams,
        put: Callable[[Step], object],
        pace: PrefillPace,
    ) -> None:
        """Evaluate a prompt and sample its reply; `put` takes the steps, `Finished` at last.

        Raises:
            EngineError: llama.cpp failed.
        """
        cache, began = self.cache, time.perf_counter()
        reused = cache.reuse(prompt)
        pace.begin(len(prompt) - reused, began)
        aborted = False
        # The last token alone, always: its logits then do not depend on how much of the prompt
        # was in the cache, and a greedy retry repeats the reply word for word.
        start, last = reused, len(prompt) - 1
        while not aborted and start < last:
            stop = min(start + self._chunk.size, last)
            aborted = not self._evaluate(prompt[start:stop])
            if not aborted:
                put(pace.read(stop - reused, time.perf_counter()))
            start = stop
        aborted = aborted or not cache.evaluate(prompt[last:])
        seconds = time.perf_counter() - began
        self.rate = pace.end()
        put(Prefilled(max(0, len(cache.past) - reused), reused, seconds))
        began = time.perf_counter()
        reason = "cancelled" if aborted else self._sample(prompt, params, put)
        put(Finished(reason, time.perf_counter() - began))

    def read_ahead(self, prompt: list[int]) -> None:
        """Evaluate a prompt but for its last token, as far as nobody wants anything else.

        Raises:
            EngineError: llama.cpp failed.
        """
        start, last = self.cache.reuse(prompt), len(prompt) - 1
        while start < last and self.cache.evaluate(prompt[start : min(start + AHEAD, last)]):
            start += AHEAD

    def keep(self, wanted: Callable[[], bool]) -> int:
        """Leave the conversations in the folder of contexts; see `KvCache.keep`."""
        return self.cache.keep(self.rate, wanted)

    def _evaluate(self, tokens: list[int]) -> bool:
        """Evaluate a chunk of a prompt; on a GPU, measure it for the size of the next chunk."""
        began = time.perf_counter()
        done = self.cache.evaluate(tokens)
        if done and self.model.plan.settings.n_gpu_layers:
            lib.llama_synchronize(self.model.ctx)
            self._chunk.took(len(tokens), time.perf_counter() - began)
        return done

    def _sample(
        self, prompt: list[int], params: SamplingParams, put: Callable[[Step], object]
    ) -> FinishReason:
        model, cache = self.model, self.cache
        history = list(prompt)
        chooser = Chooser(
            params,
            random.Random(draw_seed() if params.seed is None else params.seed),
            Seen(prompt, room=model.n_ctx + 1),  # after a full context comes one more token
            history,
            self._breakers() if params.dry_multiplier else frozenset(),
        )
        for count in range(1, params.max_tokens + 1):
            token = chooser.choose(logits_of(model))
            if self._is_end(token):
                return "stop"
            put(Token(token))
            history.append(token)
            chooser.seen.add(token)
            if count == params.max_tokens:
                break
            if len(cache.past) >= model.n_ctx:
                return "context"
            if not cache.evaluate([token]):
                return "cancelled"
        return "length"

    def _is_end(self, token: int) -> bool:
        """Whether a token frames a turn, or ends a text; llama.cpp is asked once for each."""
        known = self._ends.get(token)
        if known is None:
            known = bool(lib.llama_vocab_is_eog(self.model.vocab, token))
            self._ends[token] = known
        return known


def logits_of(model: Loaded) -> Logits:
    """The logits (n_vocab,) of the last token, in llama.cpp's own memory."""
    row = lib.llama_get_logits_ith(model.ctx, -1)  # waits for a GPU
    return _array_at(ctypes.addressof(row.contents), model.n_vocab)


@lru_cache(maxsize=4)
def _array_at(address: int, size: int) -> Logits:
    """Floats (size,) in C's memory; cached, for llama.cpp's place is the same for each token."""
    return np.ctypeslib.as_array((ctypes.c_float * size).from_address(address))
