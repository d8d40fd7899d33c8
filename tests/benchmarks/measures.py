"""What the benchmark measures: functions that return numbers, and know nothing of the table.

Whatever has a peer is measured in rounds: ours and the peer's once each, next to one another in
time and in turns first, so that another program on the machine slows both alike.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from alone import ALONE, CANCEL_AFTER, N_DECODE, N_PROMPT

from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Prompted, Trimmed
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.messages import NICKS
from relay_gguf.conversation.session import Session
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.engine import LlamaEngine
from relay_gguf.sampling import SamplingParams, Seen, distribution, pick

N_CTX_SMALL = 512
PROC = Path("/proc/self/status")
COLD_BYTES = 64 << 20
LINES = (
    "hello there, how was your day at the lighthouse?",
    "tell me about the storm that you saw last winter, and about the ship",
    "who was on board, and what became of them in the end?",
)


class SkippedError(Exception):
    """This machine or model cannot be asked this; the text says why."""


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """The values of each measure, one a round."""
    values: list[list[float]] = [[] for _ in measures]
    for count in range(rounds):
        order = list(range(len(measures)))
        for index in reversed(order) if count % 2 else order:
            values[index].append(measures[index]())
    return values


# Speed


def alone(what: str, who: str, path: Path, threads: int) -> Any:
    """A number, or several, from a fresh process with fresh random tokens; see alone.py."""
    seed = str(random.getrandbits(32))
    command = [sys.executable, ALONE, what, who, str(path), str(threads), seed]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def speed(what: str, who: str, path: Path, threads: int) -> float:
    """Tokens a second: `decode` or `prompt`, of `relay-gguf` or `llama-cpp-python`."""
    value = float(alone(what, who, path, threads))
    if not value:
        raise SkippedError(f"this model does not write {N_DECODE} tokens at once")
    return value


def llama_bench(what: str, path: Path, threads: int) -> float:
    """The same of llama.cpp's own benchmark, which warms up too and samples nothing."""
    prompt, generated = (0, N_DECODE) if what == "decode" else (N_PROMPT, 0)
    options = ["-p", str(prompt), "-n", str(generated), "-t", str(threads), "-r", "1", "-o", "json"]
    command = ["llama-bench", "-m", str(path), *options]
    run = subprocess.run(command, capture_output=True, check=True)
    return float(json.loads(run.stdout)[0]["avg_ts"])


def cancel_latency(path: Path, threads: int) -> float:
    """Seconds until a prompt of 3000 tokens stops that is cancelled after 0.5 s."""
    value = float(alone("cancel", "relay-gguf", path, threads))
    if not value:
        raise SkippedError(f"the prompt was read within {CANCEL_AFTER} s")
    return value


# What a turn costs


@dataclass(frozen=True, slots=True)
class Turn:
    """Tokens of a prompt that were evaluated, of those that it has, and whether it was trimmed."""

    evaluated: int
    whole: int
    trimmed: bool


def take_turn(session: Session, line: str) -> Turn:
    """Say a line, and count."""
    turn, trimmed = Turn(0, 0, False), False
    for event in session.submit(line):
        match event:
            case Trimmed():
                trimmed = True
            case Prompted(evaluated=evaluated, reused=reused):
                turn = Turn(evaluated, evaluated + reused, trimmed)
    return turn


def turns(path: Path, threads: int, *, exact_trim: bool = False) -> tuple[Turn, Turn, Turn]:
    """A second turn, a /retry of it, and the turn that finds a context of 512 tokens full."""
    with LlamaEngine(path, LoadOptions(n_ctx=N_CTX_SMALL), n_threads=threads) as engine:
        params = SamplingParams(seed=1, max_tokens=48)
        session = Session(Dialogue(Generator(engine, params, exact_trim=exact_trim)))
        for _ in session.start(topic="ghosts and weather"):
            pass
        take_turn(session, LINES[0])
        second = take_turn(session, LINES[1])
        retried = take_turn(session, "/retry")
        for count in range(100):
            turn = take_turn(session, LINES[count % len(LINES)])
            if turn.trimmed:
                return second, retried, turn
    raise SkippedError(f"100 turns did not fill a context of {N_CTX_SMALL}")


def resident(who: str, path: Path, threads: int) -> dict[str, int]:
    """Memory of a fresh process, in bytes: VmRSS and VmHWM; `nobody` only imports."""
    if not PROC.exists():
        raise SkippedError(f"this system has no {PROC}")
    numbers: dict[str, int] = alone("resident", who, path, threads)
    return numbers


# Starting


@contextmanager
def homeless() -> Iterator[dict[str, str]]:
    """An environment in which the command line reads and writes nobody's files."""
    with tempfile.TemporaryDirectory() as folder:
        places = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME")
        kept = {name: text for name, text in os.environ.items() if not name.startswith("RELAY_")}
        yield kept | dict.fromkeys(places, folder)


def command_line() -> list[str]:
    """The `relay-gguf` that belongs to this Python."""
    script = Path(sys.executable).with_name("relay-gguf")
    return [str(script)] if script.exists() else [sys.executable, "-m", "relay_gguf"]


def wall(command: list[str]) -> float:
    """Seconds that a command takes."""
    with homeless() as env:
        began = time.perf_counter()
        subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began


def first_token(arguments: list[str]) -> float:
    """Seconds from starting a plain chat, a line in its stdin, to the first text of the reply."""
    command = [*command_line(), "chat", *arguments, "--plain", "--seed", "1"]
    prefix, seen = f"<{NICKS['model']}> ".encode(), b""
    with homeless() as env:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{LINES[0]}\n".encode())
        while not seen.partition(prefix)[2]:
            piece = process.stdout.read(4096)
            if not piece:
                raise RuntimeError(f"The chat ended without a reply: {seen!r}")
            seen += piece
        seconds = time.perf_counter() - began
        process.kill()
        process.communicate()
    return seconds


# Sampling


def sampling_cost(n_vocab: int, *, cold: bool) -> Callable[[], float]:
    """A measure: microseconds of choosing a token with the defaults, the median of 100.

    Args:
        n_vocab: how many logits; normal ones, 500 of which the context has seen.
        cold: read 64 MB before each choice, as a model reads its weights. Without, all that
            sampling needs is still in the processor's caches, which is not so in a chat.
    """
    generator, rng, params = np.random.default_rng(1), random.Random(1), SamplingParams()
    logits = generator.normal(0, 3, n_vocab).astype(np.float32)
    seen = Seen(generator.integers(0, n_vocab, 500).tolist(), 500).ids
    weights = np.ones(COLD_BYTES // 4, np.float32) if cold else np.ones(1, np.float32)

    def once() -> float:
        weights.max()
        began = time.perf_counter()
        pick(*distribution(logits, seen, params), rng)
        return (time.perf_counter() - began) * 1e6

    return lambda: statistics.median(once() for _ in range(100))
