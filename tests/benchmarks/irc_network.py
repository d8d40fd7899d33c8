"""The IRC network: lines a second, what it adds to a reply, what changing the scene costs.

python tests/benchmarks/irc_network.py [MODEL.gguf]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "irc")]

from fake import FakeEngine  # noqa: E402
from wire import Running, Wire  # noqa: E402

from relay_gguf import LlamaEngine, SamplingParams  # noqa: E402
from relay_gguf.engine import Prefilled  # noqa: E402
from relay_gguf.irc.bot.bot import Bot  # noqa: E402
from relay_gguf.irc.bot.bot_config import BotConfig  # noqa: E402
from relay_gguf.irc.network.limits import Limits  # noqa: E402
from relay_gguf.irc.server import Server  # noqa: E402
from relay_gguf.models.demo import demo_model  # noqa: E402

N_CLIENTS = 50
N_LINES = 400
N_ROUNDS = 50
N_SCENES = 4
SCENE_TOKENS = 1000
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


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else demo_model())
