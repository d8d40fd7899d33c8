"""Twenty chats with the demo model, to be read: how many replies make sense, how long they are.

    python tests/demo/twenty_chats.py [MODEL.gguf] > chats.txt
    python tests/demo/twenty_chats.py --count chats.txt

The first command plays what a human types in twenty_chats.toml, sampled as in a chat, each chat
with its number as the seed. In its output each reply begins with `?`. A reader puts `+` or `-` in
its place, by one rule:

    +  somebody in this channel could have said that in answer to this line: it is about what was
       said, or passes over it as people do; it is whole, in plain language; it agrees with the
       bio, the topic and what the same nick has said before. What nobody could know is turned
       aside. A joke has a point. A story has at least two events, the second out of the first.
    -  anything else, and whatever the reader doubts.

The second command counts. twenty_chats.txt has the chats with the adapter that is shipped.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Said
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session
from relay_gguf.models.demo import made_demo
from relay_gguf.toml import read_toml

CHATS: list[list[str]] = read_toml(Path(__file__).with_suffix(".toml"))["chats"]
STOCK_WORDS = 3
"""Words of a reply that is a stock phrase if two chats have it: shorter ones are greetings."""


def main() -> None:
    """Play, or count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", type=Path, help="a GGUF file [the demo model]")
    parser.add_argument("--count", type=Path, metavar="FILE", help="chats that were read")
    arguments = parser.parse_args()
    lines = (
        figures(arguments.count.read_text("utf-8"))
        if arguments.count
        else played(arguments.model or made_demo())
    )
    for line in lines:
        print(line)


def played(model: Path) -> Iterator[str]:
    """The lines of all chats."""
    with LlamaEngine(model) as engine:
        for number, chat in enumerate(CHATS, 1):
            yield f"# chat {number}"
            params = SamplingParams(seed=number, max_tokens=96)
            session = Session(Dialogue(Generator(engine, params)))
            list(session.start())
            for typed in chat:
                yield f"  <anon> {typed}"
                for event in [*session.submit(typed)]:
                    if isinstance(event, Said) and event.reason:
                        yield f"? <user> {' / '.join(event.message.content.splitlines())}"


def figures(text: str) -> Iterator[str]:
    """What the replies of chats that were read come to."""
    chats = [re.findall(r"(?m)^([?+-]) <user> (.*)$", part) for part in text.split("# chat ")[1:]]
    replies = [reply for chat in chats for reply in chat]
    said = [{plain(reply) for _, reply in chat} for chat in chats]
    everything = set().union(*said)
    long = [one for one in everything if len(one.split()) >= STOCK_WORDS]
    stock = [one for one in long if sum(one in chat for chat in said) > 1]
    good = sum(mark == "+" for mark, _ in replies)
    unread = sum(mark == "?" for mark, _ in replies)
    words = [len(reply.split()) for _, reply in replies]
    yield f"{len(chats)} chats, {len(replies)} replies, {unread} of them not read"
    yield f"sensible: {good} of {len(replies)} ({good / len(replies):.0%})"
    yield f"words a reply: {sum(words) / len(words):.1f} (the longest has {max(words)})"
    yield f"different replies: {len(everything)} of {len(replies)}"
    yield f"replies of {STOCK_WORDS} words or more in more than one chat: {len(stock)}"
    yield from (f"  {one}" for one in sorted(stock))


def plain(reply: str) -> str:
    """Its words alone."""
    return " ".join(re.findall(r"[\w']+", reply.lower()))


if __name__ == "__main__":
    main()
