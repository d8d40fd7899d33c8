"""Lessons of the demo's adapter: written scenes, and composed conversations among them.

    python tests/demo/scenes.py OUT.jsonl [--composed 1500] [--synth CHATS.jsonl] [--seed 1]

What comes of it: OUT.jsonl, and OUT-held-out.jsonl with written scenes that are not in the former.

The folder `scenes` has what was written: a scene is a paragraph, a line is `<anon> text` or
`<user> text`, as it would be typed. Commands become the lines that Relay's commands write. A scene
that does not begin with `/join` takes place in some channel. `--composed` adds as many
conversations of chats.py, which have every command; `--synth` adds a file of `relay-gguf synth
filter`. The order is random, so that any part of the file is a fair sample.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does
from demo.chats import WORDS, Entry, Rng, chat_form, conversation, write_lines

from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.commands import Call, Say, Wildcard, parse
from relay_gguf.conversation.messages import DEFAULT_CHANNEL, NICKS, Message, Role

WRITTEN: Final = Path(__file__).with_name("scenes")
ROLES: Final[dict[str, Role]] = {"anon": "input", "user": "model"}
HELD_OUT: Final = 48
"""Written scenes that are not trained on, the same ones whatever is added to the others."""
LINE: Final = re.compile(r"<(anon|user)> (\S.*)")


def written() -> list[list[str]]:
    """The scenes of the folder, as lists of lines."""
    files = sorted(WRITTEN.glob("*.txt"))
    texts = (file.read_text("utf-8").strip() for file in files)
    return [part.splitlines() for text in texts for part in re.split(r"\n{2,}", text)]


def scene(lines: list[str], rng: Rng) -> list[Message]:
    """What stands in the context when these lines have been typed and said.

    Raises:
        ValueError: a line has another form.
    """
    opened = lines[0].startswith("<anon> /join #")
    channel = lines[0].partition("#")[2].strip() if opened else _channel(rng)
    said = [*rules.join(NICKS, rng.choice(["model", "input"]), channel)]
    for line in lines[1:] if opened else lines:
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"This is no line of a scene: {line!r}")
        said += _typed(ROLES[match[1]], match[2], channel)
    return said


def _channel(rng: Rng) -> str:
    return DEFAULT_CHANNEL if rng.random() < 0.5 else str(rng.choice(WORDS["channels"]))


def _typed(role: Role, text: str, channel: str) -> tuple[Message, ...]:
    """The lines that one typed line brings about."""
    match parse(text):
        case Say(content):
            return (Message(NICKS[role], content),)
        case Wildcard(name, argument):
            return rules.wildcard(NICKS, role, name, argument)
        case Call("topic", argument):
            return rules.topic(NICKS, role, channel, argument)
        case Call("cast", argument):
            return rules.cast(NICKS, role, argument)
        case Call("slap"):
            return rules.slap(NICKS, role)
    raise ValueError(f"The model never reads this command: {text!r}")


def lessons(n_composed: int, synth: list[Entry], seed: int) -> tuple[list[Entry], list[Entry]]:
    """Entries of a data set in a random order, and those that are held out."""
    rng = Rng(seed)
    scenes = written()
    rng.shuffle(scenes)
    found = [chat_form(tuple(scene(lines, rng))) for lines in scenes]
    held_out, found = found[:HELD_OUT], found[HELD_OUT:]
    found += [chat_form(tuple(conversation(rng))) for _ in range(n_composed)]
    found += synth
    rng.shuffle(found)
    return found, held_out


def main() -> None:
    """Write the lessons as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--composed", type=int, default=1500, metavar="N")
    parser.add_argument("--synth", type=Path, metavar="FILE")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    synth = arguments.synth.read_text("utf-8").splitlines() if arguments.synth else []
    rows = [json.loads(line) for line in synth]
    found, held_out = lessons(arguments.composed, rows, arguments.seed)
    write_lines(arguments.out, found)
    write_lines(arguments.out.with_name(f"{arguments.out.stem}-held-out.jsonl"), held_out)


if __name__ == "__main__":
    main()
