"""The IRC network: lines a second, what it adds to a reply, what company in other channels costs.

    python tests/benchmarks/irc_network.py [MODEL.gguf]

Set OMP_WAIT_POLICY=passive or GOMP_SPINCOUNT=1000 on a busy machine, as the program does by itself.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "irc")]

from alone import random_ids  # noqa: E402
from fake import FakeEngine  # noqa: E402
from measures import interleaved  # noqa: E402
from wire import Running, Wire  # noqa: E402

from relay_gguf import LlamaEngine, SamplingParams  # noqa: E402
from relay_gguf.engine import Engine, Prefilled, Token  # noqa: E402
from relay_gguf.fit.plan import LoadOptions  # noqa: E402
from relay_gguf.irc.bot.bot import Bot  # noqa: E402
from relay_gguf.irc.bot.bot_config import BotConfig  # noqa: E402
from relay_gguf.irc.network.limits import Limits  # noqa: E402
from relay_gguf.irc.server import Server  # noqa: E402
from relay_gguf.llama.batch.batch_engine import BatchEngine  # noqa: E402
from relay_gguf.models.demo import demo_model  # noqa: E402

N_CLIENTS = 50
N_LINES = 400
N_ROUNDS = 50
N_SCENES = 4
SCENE_TOKENS = 1000
N_AT_ONCE = 3
MESSAGE, REPLY, PASTE = 12, 64, 3000
"""Numbers of a message, and tokens of its reply and of a long text in another channel."""
AT = 16
"""Tokens of a reply that are there when somebody pastes the long text."""
ROUNDS = 5
GREEDY = SamplingParams(temperature=0, repeat_penalty=1, max_tokens=REPLY, seed=1)
UNLIMITED = Limits(burst=1 << 30, sendq=1 << 30)


@contextmanager
def network(bot: Bot | None = None) -> Iterator[Running]:
    """A server without a limit on lines."""
    running = Running(lambda: Server(bot, limits=UNLIMITED))
    try:
        yield running
    finally:
        running.stop()
        if bot is not None:
            bot.close()


def crowd() -> float:
    """Lines a second that 50 clients in a channel get of what one of them says."""
    with network() as running:
        wires = [Wire(running.address).register(f"c{number}") for number in range(N_CLIENTS)]
        for wire in wires:
            wire.ask("JOIN #crowd")
        for wire in wires:
            wire.sync()
        began = time.perf_counter()
        readers = [
            threading.Thread(target=wire.until, args=(f":{N_LINES}$",)) for wire in wires[1:]
        ]
        for reader in readers:
            reader.start()
        wires[0].send(*(f"PRIVMSG #crowd :{number}" for number in range(N_LINES + 1)))
        for reader in readers:
            reader.join()
        return N_LINES * len(readers) / (time.perf_counter() - began)


def latency() -> list[float]:
    """Milliseconds from a message to its reply, of an engine that has it at once."""
    with tempfile.TemporaryDirectory() as folder:
        bot = Bot(BotConfig(FakeEngine(), SamplingParams(seed=1), Path(folder)))
        with network(bot) as running:
            wire = Wire(running.address).register("anon")
            wire.ask("JOIN #sea")
            found = []
            for _ in range(N_ROUNDS):
                began = time.perf_counter()
                wire.send("PRIVMSG #sea :hello")
                wire.until("PRIVMSG")
                found.append(1000 * (time.perf_counter() - began))
            return found


def switching(path: Path, room: int) -> tuple[list[float], list[int]]:
    """Seconds to the first token of a scene that another one had pushed out; tokens evaluated."""
    greedy = SamplingParams(temperature=0, max_tokens=1, seed=1)
    with LlamaEngine(path, scene_room=room) as engine:
        words = [f"scene {number} " + "word " * SCENE_TOKENS for number in range(N_SCENES)]
        scenes = [engine.tokenize(text)[:SCENE_TOKENS] for text in words]
        seconds: list[float] = []
        evaluated: list[int] = []
        for turn in range(2):
            for scene in scenes:
                began = time.perf_counter()
                steps: list[Any] = list(engine.generate(scene, greedy))
                if turn:
                    seconds.append(time.perf_counter() - began)
                    evaluated += [s.evaluated for s in steps if isinstance(s, Prefilled)]
        return seconds, evaluated


def counting(engine: Engine, rng: random.Random) -> list[int]:
    """A message of numbers, which the likeliest reply goes on counting without an end."""
    first = rng.randrange(100, 800)
    return engine.tokenize(", ".join(str(first + n) for n in range(MESSAGE)))


def talk(engine: Engine, message: list[int]) -> None:
    """Let a reply be generated to its end."""
    steps = list(engine.generate(message, GREEDY))
    assert sum(isinstance(step, Token) for step in steps) == REPLY


def last_word(engine: LlamaEngine | BatchEngine, rng: random.Random) -> float:
    """Seconds until three humans who ask at once have their replies."""
    messages = [counting(engine, rng) for _ in range(N_AT_ONCE)]
    began = time.perf_counter()
    if isinstance(engine, LlamaEngine):
        for message in messages:
            talk(engine, message)
    else:
        seats = [engine.seat() for _ in range(N_AT_ONCE)]
        with ThreadPoolExecutor(N_AT_ONCE) as pool:
            list(pool.map(talk, seats, messages))
    return time.perf_counter() - began


def beside(engine: BatchEngine, rng: random.Random, paste: int) -> float:
    """Seconds of the last tokens of a reply, while another scene reads `paste` tokens."""
    reading, once = engine.seat(), SamplingParams(max_tokens=1)
    times = []
    with ThreadPoolExecutor(1) as pool:
        for step in engine.seat().generate(counting(engine, rng), GREEDY):
            if isinstance(step, Token):
                times.append(time.perf_counter())
                if len(times) == AT and paste:
                    pool.submit(list, reading.generate(random_ids(rng, paste), once))
        reading.cancel()
    assert len(times) == REPLY
    return times[-1] - times[AT]


def company(path: Path) -> None:
    """Print what conversations cost one another."""
    rng = random.Random(1)
    options = LoadOptions(n_ctx=4096, n_slots=4, kv_unified=False)
    with LlamaEngine(path) as single, BatchEngine(path, options) as many:
        turns, together = interleaved(
            ROUNDS, lambda: last_word(single, rng), lambda: last_word(many, rng)
        )
        plain, pasted = interleaved(
            ROUNDS, lambda: beside(many, rng, 0), lambda: beside(many, rng, PASTE)
        )
    print(
        f"{N_AT_ONCE} channels, each a message of {MESSAGE} numbers and a reply of {REPLY} tokens:"
    )
    for what, values in (("one after another", turns), ("at once", together)):
        print(f"  {what:35} {statistics.median(values):10.2f} s  ({spread(values)})")
    ratios = [after / before for before, after in zip(plain, pasted, strict=True)]
    print(
        f"a reply beside a text of {PASTE} tokens   {statistics.median(ratios):10.2f} times", end=""
    )
    print(f" as long  ({spread(ratios)})")


def spread(values: list[float]) -> str:
    """The least and the most of them."""
    return f"{min(values):.2f}-{max(values):.2f}"


def main(path: Path) -> None:
    """Print the table."""
    rates = [crowd() for _ in range(3)]
    print(f"lines a second to {N_CLIENTS} clients       {statistics.median(rates):10,.0f}")
    added = latency()
    print(f"added to a reply, ms                  {statistics.median(added):10.1f}", end="")
    print(f"  ({min(added):.1f}-{max(added):.1f})")
    print(f"{path.name}, {N_SCENES} scenes of {SCENE_TOKENS} tokens, going from one to the next:")
    for what, room in (("kept in RAM", 1 << 30), ("not kept", 0)):
        seconds, evaluated = switching(path, room)
        print(f"  {what:12} {statistics.median(seconds):8.3f} s", end="")
        print(f"  {statistics.median(evaluated):6.0f} tokens evaluated")
    company(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else demo_model())
