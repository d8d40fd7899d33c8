"""The table of commands, and the meaning of a typed line.

Parsing, /help, completion and the documentation follow this one table. It is short on purpose: a
name that it takes never reaches the model, and inventing commands is half the fun of Relay. Names
are matched whole and case-sensitively.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from .messages import SILENCE


@dataclass(frozen=True, slots=True)
class Command:
    """An entry of the table: `name` has no slash, `argument` and `help` are as /help shows them."""

    name: str
    argument: str
    help: str

    @property
    def usage(self) -> str:
        """The command as it is typed: `/join #channel`."""
        return f"/{self.name} {self.argument}".rstrip()


COMMANDS: Final[dict[str, Command]] = {
    command.name: command
    for command in (
        Command("join", "#channel", "Begin a new scene in a channel."),
        Command("topic", "text", "Set the channel's topic."),
        Command("cast", "bio", "Say who the model is: I'm a pirate; or a character card: mia.png."),
        Command("slap", "", "Slap the model around a bit with a large trout."),
        Command("lazy", "[beginning]", "Let the model write your message, or the rest of it."),
        Command("lazy?", "[beginning]", "Like /lazy, as a draft to edit; so is /lazy ...?"),
        Command("retry", "[number]", "Get another reply, or several to choose from."),
        Command("prev", "[number]", "Go back to the reply before, or that number."),
        Command("next", "[number]", "Go on to the reply after, or that number."),
        Command("continue", "", "Let a reply that was cut go on."),
        Command(
            "undo", "", "Take back your last line and its reply; the text returns for editing."
        ),
        Command("edit", "[line]", "Say something else instead of your last line."),
        Command("set", "[option value]", "Change a sampling option, as temperature 0.7."),
        Command("context", "", "Show what the model reads, and its size in tokens."),
        Command("save", "[name]", "Name this session; everything is saved anyway."),
        Command("load", "[name]", "Go to a saved session; without a name, show them."),
        Command(
            "export",
            "[format]",
            "Write the scene as jsonl, txt, md, html, irssi or weechat. /export all: every scene.",
        ),
        Command("reset", "", "Begin again in the first channel."),
        Command("message", "text", "Say something, whatever it begins with; //text says /text."),
        Command("help", "[command]", "Show this list, or one command of it."),
        Command("exit", "", "Leave; so do /quit and Ctrl-D."),
        Command("quit", "", "Leave."),
    )
}


ELSEWHERE: Final = {
    "who": "context",
    "names": "context",
    "history": "context",
    "list": "load",
    "sessions": "load",
    "part": "exit",
    "leave": "exit",
    "bye": "exit",
    "clear": "reset",
    "new": "reset",
    "msg": "message",
    "say": "message",
    "regen": "retry",
    "again": "retry",
    "bio": "cast",
}
"""Commands of IRC and of other chat programs → what does that here. They go to the model."""


@dataclass(frozen=True, slots=True)
class Say:
    """A message for the channel."""

    content: str


@dataclass(frozen=True, slots=True)
class Call:
    """A command of the table; `name` is without its slash."""

    name: str
    argument: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A command that is not in the table, for the model to make sense of; `name` has its slash."""

    name: str
    argument: str


def parse(line: str) -> Say | Call | Wildcard:
    """The meaning of a typed line.

    An empty line is silence, `//text` says `/text`. The words of a command are split at spaces
    alone, as the original does.
    """
    line = line.strip()
    if not line:
        return Say(SILENCE)
    if line.startswith("//"):
        return Say(line[1:])
    if not line.startswith("/"):
        return Say(line)
    name, _, argument = line.partition(" ")
    if name[1:] in COMMANDS:
        return Call(name[1:], argument.strip())
    return Wildcard(name, argument.strip())


def whole_words(line: str) -> str:
    """A line that is being typed, up to the last space or line break: the rest may still change."""
    return line[: 1 + max(line.rfind(" "), line.rfind("\n"))]


def near_miss(name: str) -> str | None:
    """The command that was perhaps meant by one that goes to the model; None if none is near.

    Args:
        name: as typed, with its slash.
    """
    word = name[1:].lower()
    if word in COMMANDS:
        return word
    if word in ELSEWHERE:
        return ELSEWHERE[word]
    return next(iter(get_close_matches(word, COMMANDS, 1, cutoff=0.8)), None)


def spell(content: str) -> str:
    """The line that `parse` turns into `Say(content)`."""
    return f"/{content}" if content.startswith("/") else content


def help_text(name: str = "") -> str:
    """The table as lines of text, or one entry of it; `name` may have its slash."""
    name = name.removeprefix("/")
    if not name:
        return "\n".join(
            [*_rows(COMMANDS.values()), "Any other /command goes to the model: try /dance wildly."]
        )
    if name not in COMMANDS:
        return f"/{name} is not a command of this program: it goes to the model as it is."
    return "\n".join(_rows([COMMANDS[name]]))


def _rows(commands: Iterable[Command]) -> list[str]:
    return [f"{command.usage:<20} {command.help}" for command in commands]
