"""A worker on loopback against the CPU of this process: time and bytes of a token.

    python tests/benchmarks/workers.py [MODEL]

Both compute on the same cores, one after the other. The worker does not repack weights, which a
CPU of this process does: the line with no layers there is the fair comparison for what the network
costs, that of the CPU for what a user loses.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "stand_ins"))

from lent import Wire, lend

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.engine import Finished, Token
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.isolated.engine import IsolatedEngine
from relay_gguf.models.demo import demo_model

N_TOKENS, N_RUNS = 100, 3
PARAMS = SamplingParams(temperature=0, repeat_penalty=1, max_tokens=N_TOKENS, seed=1)


def token_time(engine: Any) -> tuple[float, int]:
    """Seconds of a token, in the best of some runs; tokens of all runs."""
    ids = [engine.control.im_start, *engine.tokenize("user\nTell me a very long story.\n" * 8)]
    found = [_one(engine, ids) for _ in range(N_RUNS)]
    return min(seconds for seconds, _ in found), sum(count for _, count in found)


def _one(engine: Any, ids: list[int]) -> tuple[float, int]:
    count, seconds = 0, 0.0
    for step in engine.generate(ids, PARAMS):
        count += isinstance(step, Token)
        if isinstance(step, Finished):
            seconds = step.seconds
    return seconds / count, count


def main() -> None:
    """Print the table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_model()
    with LlamaEngine(path, LoadOptions(no_gpu=True)) as engine:
        print(f"{'CPU of this process':34}  {token_time(engine)[0] * 1e3:6.1f} ms a token")
        half, layers = len(engine.plan.model.blocks) // 2, engine.plan.model.n_layers
    print(f"{'on the worker':16}{'round trip':>18}  {'':16}{'on load':>12}{'there':>9}{'back':>10}")
    for round_trip in (0.0, 0.02):
        for count in (0, half, layers):
            with lend() as worker, Wire(worker.address, round_trip / 2) as wire:
                options = LoadOptions(workers=(wire.address,), n_gpu_layers=count)
                with IsolatedEngine(path, options) as engine:
                    on_load, there, back = wire.there, wire.there, wire.back
                    seconds, n = token_time(engine)
                print(
                    f"{count:3} of {layers} layers {round_trip * 1e3:15.0f} ms  "
                    f"{seconds * 1e3:6.1f} ms a token {on_load:12,} "
                    f"{(wire.there - there) / n:8,.0f} {(wire.back - back) / n:9,.0f}"
                )


if __name__ == "__main__":
    main()
