"""The lines of a channel, and those that each IRC command writes into the context.

Pure values and rules. The strings are the ones that Relay was trained on (relaylm.py v0.1.1): a
changed letter here is a different model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from relay_gguf.errors import CommandError

Role = Literal["system", "model", "input"]

NICKS: Final[Mapping[Role, str]] = {"system": "system", "model": "user", "input": "anon"}
"""Who speaks under which nick: the human is `anon`, the model is `user`, IRC itself `system`."""

DEFAULT_CHANNEL: Final = "random"
SILENCE: Final = "..."
"""The content of an empty line."""
ACTION: Final = "/me "
"""Begins the content of an action, `/me sighs`."""


@dataclass(frozen=True, slots=True)
class Message:
    """One line of the channel.

    `generated` counts the tokens that a model wrote, and is 0 for what was typed; `cut` says that
    the reply was stopped before the model ended it.
    """

    nick: str
    content: str
    generated: int = 0
    cut: bool = False


def is_notice(message: Message) -> bool:
    """Whether a message is a line of IRC itself, which has its own star."""
    return message.nick == NICKS["system"]


def savable(text: str) -> str:
    """Text without lone surrogates, which a broken terminal can send and no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def other(role: Role) -> Role:
    """The other of the two who talk."""
    return "input" if role == "model" else "model"


def join(nicks: Mapping[Role, str], role: Role, channel: str) -> tuple[Message, ...]:
    """The lines of `/join`; it opens a scene, so they replace the context.

    Raises:
        CommandError: the channel has no name.
    """
    if not channel:
        raise CommandError("Invalid: Missing channel name.")
    system = nicks["system"]
    return (
        Message(nicks[role], f"/join #{channel}"),
        Message(system, f"* Now talking in #{channel}"),
        Message(system, f"* {nicks[other(role)]} has joined #{channel}"),
    )


def topic(nicks: Mapping[Role, str], role: Role, channel: str, text: str) -> tuple[Message, ...]:
    """The lines of `/topic`.

    Raises:
        CommandError: there is no text.
    """
    if not text:
        raise CommandError("Invalid: Missing topic text.")
    return (
        Message(nicks[role], f"/topic {text}"),
        Message(nicks["system"], f"* Topic for #{channel} is: {text}"),
    )


def cast(nicks: Mapping[Role, str], role: Role, desc: str) -> tuple[Message, ...]:
    """The lines of `/cast`: to the model, a bio is the answer to a whois.

    Raises:
        CommandError: there is no description.
    """
    if not desc:
        raise CommandError("Invalid: Missing description.")
    whom = nicks[other(role)]
    return (
        Message(nicks[role], f"/whois {whom}"),
        Message(nicks["system"], f"* {whom}'s bio: {desc}"),
    )


def slap(nicks: Mapping[Role, str], role: Role) -> tuple[Message, ...]:
    """The lines of `/slap`."""
    whom = nicks[other(role)]
    return (
        Message(nicks[role], f"/slap {whom}"),
        Message(nicks["system"], f"* {nicks[role]} slaps {whom} around a bit with a large trout"),
    )


def wildcard(nicks: Mapping[Role, str], role: Role, cmd: str, arg: str) -> tuple[Message, ...]:
    """The lines of any other command; without an argument both end in a space."""
    return (
        Message(nicks[role], f"{cmd} {arg}"),
        Message(nicks["system"], f"* {nicks[role]} used {cmd} {arg}"),
    )
