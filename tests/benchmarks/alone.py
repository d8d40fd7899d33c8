"""What the benchmark measures in a fresh process each time, as llama-bench does it.

    python alone.py decode|prompt|cancel|resident relay-gguf|llama-cpp-python MODEL THREADS SEED

Prints a number, or for `resident` several, as JSON. Fresh, so that no program keeps for all rounds
what luck it had with the place of its memory, and because GNU's OpenMP spins less in all threads of
a process once there are more of them than cores, as two loaded models would have.
"""

from __future__ import annotations

import json
import random
import re
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_cpp import Llama

    from relay_gguf.llama.engine import LlamaEngine

ALONE = str(Path(__file__))
N_CTX = 4096
N_DECODE = 64
N_PROMPT = 512
N_RESIDENT = 600
N_CANCEL = 3000
CANCEL_AFTER = 0.5
IDS = range(1000, 30000)
"""Plain words in every vocabulary: control tokens come first, and 32,000 is the smallest."""
SAMPLING: dict[str, Any] = {
    "temp": 0.3,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repeat_penalty": 1.1,
}
"""The defaults of `SamplingParams`, as `Llama.generate` calls them."""


def random_ids(rng: random.Random, count: int) -> list[int]:
    """`count` token ids that make no sense."""
    return rng.choices(IDS, k=count)


def memory() -> dict[str, int]:
    """Bytes of VmRSS (resident) and VmHWM (its peak) of this process."""
    status = Path("/proc/self/status").read_text("ascii")
    fields = re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE)
    return {name: int(kibibytes) * 1024 for name, kibibytes in fields}


# Our engine


def relay_decode(engine: LlamaEngine, rng: random.Random) -> float:
    """Tokens a second of a reply of 64 after 2 random tokens: 63 over `Finished.seconds`.

    A reply that ends earlier is thrown away and another one is begun; 0 if 50 did. The first
    good one only warms up.
    """
    from relay_gguf.engine import Finished
    from relay_gguf.sampling import SamplingParams

    speeds: list[float] = []
    for _ in range(50):
        params = SamplingParams(max_tokens=N_DECODE, seed=rng.getrandbits(32))
        *_, last = engine.generate(random_ids(rng, 2), params)
        if isinstance(last, Finished) and last.reason == "length":
            speeds.append((N_DECODE - 1) / last.seconds)
        if len(speeds) == 2:
            return speeds[1]
    return 0.0


def relay_prompt(engine: LlamaEngine, rng: random.Random) -> float:
    """Tokens a second of 512 random ones, none of them cached, to the end of the first sampling.

    The first such prompt only warms up.
    """
    from relay_gguf.sampling import SamplingParams

    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        for _ in engine.generate(random_ids(rng, N_PROMPT), SamplingParams(max_tokens=1)):
            pass
        seconds = time.perf_counter() - began
    return N_PROMPT / seconds


def relay_cancel(engine: LlamaEngine, rng: random.Random) -> float:
    """Seconds from `cancel()`, 0.5 s into a prompt of 3000 tokens, to `Finished`; 0 if too late."""
    from relay_gguf.engine import Finished
    from relay_gguf.sampling import SamplingParams

    called: list[float] = []

    def cancel() -> None:
        called.append(time.perf_counter())
        engine.cancel()

    timer = threading.Timer(CANCEL_AFTER, cancel)
    timer.start()
    *_, last = engine.generate(random_ids(rng, N_CANCEL), SamplingParams(max_tokens=512))
    ended = time.perf_counter()
    timer.cancel()
    cancelled = isinstance(last, Finished) and last.reason == "cancelled"
    return ended - called[0] if cancelled else 0.0


def relay_resident(engine: LlamaEngine, rng: random.Random) -> dict[str, int]:
    """Memory after a prompt of 600 tokens and 8 of the reply."""
    from relay_gguf.sampling import SamplingParams

    for _ in engine.generate(random_ids(rng, N_RESIDENT), SamplingParams(max_tokens=8)):
        pass
    return memory()


RELAY: dict[str, Callable[[LlamaEngine, random.Random], Any]] = {
    "decode": relay_decode,
    "prompt": relay_prompt,
    "cancel": relay_cancel,
    "resident": relay_resident,
}


# The class Llama of llama-cpp-python


def llama_decode(llama: Llama, rng: random.Random) -> float:
    """Tokens a second of `generate`, 64 after 2 random ones, from the first on; the second time."""
    seconds = 0.0
    for _ in range(2):
        tokens = llama.generate(random_ids(rng, 2), **SAMPLING)
        next(tokens)
        began = time.perf_counter()
        for _ in islice(tokens, N_DECODE - 1):
            pass
        seconds = time.perf_counter() - began
    return (N_DECODE - 1) / seconds


def llama_prompt(llama: Llama, rng: random.Random) -> float:
    """Tokens a second of `eval`, 512 into an empty context, the second time."""
    from llama_cpp import llama_get_logits

    seconds = 0.0
    for _ in range(2):
        llama.reset()  # type: ignore[no-untyped-call]
        began = time.perf_counter()
        llama.eval(random_ids(rng, N_PROMPT))
        llama_get_logits(llama.ctx)  # waits for a GPU
        seconds = time.perf_counter() - began
    return N_PROMPT / seconds


def llama_resident(llama: Llama, rng: random.Random) -> dict[str, int]:
    """Memory after a prompt of 600 tokens and 8 of the reply."""
    for _ in islice(llama.generate(random_ids(rng, N_RESIDENT), **SAMPLING), 8):
        pass
    return memory()


LLAMA: dict[str, Callable[[Llama, random.Random], Any]] = {
    "decode": llama_decode,
    "prompt": llama_prompt,
    "resident": llama_resident,
}


def main(what: str, who: str, path: str, threads: int, seed: int) -> None:
    """Load a model and measure one thing; see the module. `who` may be `nobody`: only imports."""
    rng = random.Random(seed)
    if who == "llama-cpp-python":
        from llama_cpp import Llama

        llama = Llama(
            path,
            n_ctx=N_CTX,
            n_gpu_layers=-1,
            n_threads=threads,
            n_threads_batch=threads,
            verbose=False,
        )
        print(json.dumps(LLAMA[what](llama, rng)))
        return
    from relay_gguf.fit.plan import LoadOptions
    from relay_gguf.llama.engine import LlamaEngine

    if who == "nobody":
        print(json.dumps(memory()))
        return
    with LlamaEngine(path, LoadOptions(n_ctx=N_CTX), n_threads=threads) as engine:
        print(json.dumps(RELAY[what](engine, rng)))


if __name__ == "__main__":
    _what, _who, _path, _threads, _seed = sys.argv[1:]
    main(_what, _who, _path, int(_threads), int(_seed))
