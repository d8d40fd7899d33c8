"""Total tokens a second of `relay-gguf serve` and of llama-server with several clients at once.

    python tests/benchmarks/serving/clients.py MODEL.gguf [clients] [rounds]

Both have as many slots as there are clients, the same file, and the same requests: raw text
continued by 64 tokens at temperature 0.8. llama-server is xllamacpp's. Each is a fresh process, and
the rounds alternate, since the machine may be busy.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

N_TOKENS, N_CTX, ASKED = 64, 1024, 3
SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.1}
LLAMA_SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, n = sys.argv[1], int(sys.argv[2])
params.warmup, params.verbosity = True, -1
params.n_ctx, params.n_parallel = int(sys.argv[3]) * n, n
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[4])
server = xllamacpp.Server(params)
print(server.listening_address + "/v1", flush=True)
sys.stdin.read()
"""


@contextmanager
def ours(model: str, n: int) -> Iterator[str]:
    command = [sys.executable, "-m", "relay_gguf", "serve", model, "--port", "0"]
    command += ["--slots", str(n), "--n-ctx", str(N_CTX), "--no-cache-file"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address = next(line for line in server.stderr if "http" in line)
        yield address.split("at ", 1)[1].split(",")[0]
        server.terminate()


@contextmanager
def theirs(model: str, n: int) -> Iterator[str]:
    from relay_gguf.machine.cpu import physical_cores

    command = [sys.executable, "-c", LLAMA_SERVER, model, str(n), str(N_CTX), str(physical_cores())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield next(line for line in server.stdout if line.startswith("http")).strip()
        server.stdin.close()


def tokens(address: str, client: int) -> int:
    """The tokens that one client is given for its requests, one after the other."""
    count = 0
    for number in range(ASKED):
        prompt = f"Once upon a time, in the year {1700 + client}, on day {number},"
        body = {"prompt": prompt, "max_tokens": N_TOKENS, "seed": client, **SAMPLING}
        request = urllib.request.Request(
            f"{address}/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            count += json.load(answer)["usage"]["completion_tokens"]
    return count


def rate(address: str, n: int) -> float:
    """Tokens a second of all clients together."""
    with ThreadPoolExecutor(n) as pool:
        began = time.perf_counter()
        total = sum(pool.map(lambda client: tokens(address, client), range(n)))
        return total / (time.perf_counter() - began)


def main() -> None:
    model = sys.argv[1]
    n, rounds = (int(text) for text in (*sys.argv[2:4], *("8", "3")[len(sys.argv[2:4]) :]))
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    with ours(model, n) as here, theirs(model, n) as there:
        found: dict[str, list[float]] = {"relay-gguf serve": [], "llama-server": []}
        for _ in range(rounds):
            for name, address in zip(found, (here, there), strict=True):
                found[name].append(rate(address, n))
                print(f"{name:18} {n} clients {found[name][-1]:7.1f} t/s", flush=True)
    middle = [statistics.median(rates) for rates in found.values()]
    print(f"median {middle[0]:.1f} and {middle[1]:.1f} t/s: {middle[0] / middle[1]:.2f} x")


if __name__ == "__main__":
    main()
