"""Two people of the model and one human, 60 lines with the demo model: who speaks, how often.

python tests/demo/sixty_turns.py [MODEL.gguf]
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import Counter
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "irc")]

from wire import Running, Wire, wait_for  # noqa: E402

from relay_gguf import SamplingParams  # noqa: E402
from relay_gguf.conversation.company.person import Person  # noqa: E402
from relay_gguf.conversation.events import Prompted  # noqa: E402
from relay_gguf.fit.plan import LoadOptions  # noqa: E402
from relay_gguf.irc.bot.bot import Bot  # noqa: E402
from relay_gguf.irc.bot.bot_config import BotConfig  # noqa: E402
from relay_gguf.irc.server import Server  # noqa: E402
from relay_gguf.llama.batch.batch_engine import BatchEngine  # noqa: E402
from relay_gguf.models.demo import made_demo  # noqa: E402

N_TURNS = 60
PATIENCE = 180.0
SAID = (
    "hi! where are you from?",
    "kate: what do you do for a living?",
    "and what do you like?",
    "bob, tell me about your ship",
    "everyone: what did you eat today?",
    "lol",
    "what do you think of that, kate?",
    "do you know each other?",
    "it is raining here",
    "bob: do you like rain?",
)
CAST = (Person("kate", "a nurse from Cork"), Person("bob", "a pirate"))


def main() -> None:
    model = Path(sys.argv[1]) if sys.argv[1:] else made_demo()
    options = LoadOptions(n_ctx=4096, n_slots=4)
    with tempfile.TemporaryDirectory() as folder, BatchEngine(model, options) as engine:
        config = BotConfig(
            engine, SamplingParams(seed=1), Path(folder) / "irc", cast=CAST, slots=4, breath=0.1
        )
        bot = Bot(config)
        running = Running(lambda: Server(bot))
        try:
            anon = Wire(running.address).register("anon")
            anon._socket.settimeout(PATIENCE)
            play(bot, anon)
        finally:
            running.stop()
            bot.close()


def play(bot: Bot, anon: Wire) -> None:
    anon.ask("JOIN #cork")
    scene = bot._stage.scenes.find("#cork")
    assert scene is not None
    read: list[Any] = []
    scene.session._watch = lambda event: read.append(event) if isinstance(event, Prompted) else None
    spoke, lines_a_turn, repeated, began = Counter[str](), Counter[int](), 0, time.monotonic()
    for number, line in enumerate(islice(cycle(SAID), N_TURNS), 1):
        anon.send(f"PRIVMSG #cork :{line}")
        print(f"{number:3} <anon> {line}")
        heard = replies(bot, anon)
        nicks = [nick for nick, _ in heard]
        for nick, text in heard:
            print(f"    <{nick}> {text}")
        repeated += sum(first == second for first, second in pairwise(nicks))
        spoke.update(nicks)
        lines_a_turn[len(nicks)] += 1
    print(f"\n{N_TURNS} lines of a human in {time.monotonic() - began:.0f} s")
    print("who spoke:", dict(spoke))
    print("lines after one of the human's -> how often:", dict(sorted(lines_a_turn.items())))
    print("somebody after the own line:", repeated)
    evaluated, reused = (
        sum(getattr(one, what) for one in read) for what in ("evaluated", "reused")
    )
    print(f"{len(read)} prompts: {evaluated} tokens evaluated, {reused} from the cache")


def replies(bot: Bot, anon: Wire) -> list[tuple[str, str]]:
    """What the people say until they are silent, each with the nick."""
    scene = bot._stage.scenes.find("#cork")
    assert scene is not None
    lines = anon.until(r"(PRIVMSG|NOTICE) #cork ")
    wait_for(lambda: not (scene.runs or scene.ensemble.goes_on), PATIENCE)
    lines += anon.sync()
    found = [re.match(r":(\w+)\S+ (?:PRIVMSG|NOTICE) #cork :(.*)", line) for line in lines]
    return [(match[1], match[2]) for match in found if match]


if __name__ == "__main__":
    main()
