"""Orders, the commands of a conversation, and how IRC clients send them.

IRC clients do not know CAST or RETRY. Such an order comes as a raw command (HexChat sends unknown
commands as they are typed, other clients with /quote), as a message to `*relay`, or as `!retry` in
the channel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from relay_gguf.conversation.commands import COMMANDS
from relay_gguf.irc.network.hooks import MenuEntry

PREFIX: Final = "!"
ORDERS: Final = {
    "cast": "Say who the model is: CAST I'm a pirate. Or bring one more: CAST bob: a pirate.",
    "retry": "Another reply in place of the last one; RETRY 4: four to choose from.",
    "prev": "Back to the reply before.",
    "next": "On to the reply after; NEXT 3: to the third.",
    "continue": "Let a reply that was cut go on.",
    "undo": "Take back your last line and its reply.",
    "edit": "Say something else instead of your last line.",
    "lazy": "Let the model write your line.",
    "slap": "Slap the model around a bit with a large trout.",
    "cycle": "Begin the scene anew; RESET does the same.",
    "context": "What the model sees, and how many tokens it takes.",
    "export": "Write the scene to a file on the server: jsonl, txt, md, html, irssi, weechat.",
    "cancel": "Stop the reply.",
    "help": "This list.",
}
"""Name → help text."""
DRAFT: Final = "lazy?"
"""As LAZY, but the line is shown as a draft and not sent."""
ALSO: Final = {"reset": "cycle", "previous": "prev", "stop": "cancel"}
"""Another name of an order → its name."""
_FOREIGN = """
accept admin authenticate batch cap certfp chghost cnotice connect cprivmsg die encap ghost identify
info invite ison jupe kick kill knock labeled links list lusers map metadata mode monitor motd names
nickserv chanserv oper pong protoctl redact register rehash restart sasl service servlist setname
silence squery squit starttls stats summon time trace unsilence userhost users verify version
wallops watch webirc who whois whowas
"""
FOREIGN: Final = frozenset(_FOREIGN.split())
"""Commands of IRC that clients send on their own, so they are never passed to the model."""
_TRAILING = re.compile(r"^(\S+ +(?:#\S+ +)?):(?=[\w#]{3}|\w+ )")
"""A raw command up to the colon before its last parameter, but not up to a smiley's."""
_TROUT = re.compile(
    r"slaps (?P<nick>\S+) around a bit with a (?:large|big) trout\W*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Order:
    """An order, or a command that somebody made up, whose `name` begins with /."""

    name: str
    argument: str = ""

    @property
    def known(self) -> bool:
        """Whether it is an order and not a made-up command."""
        return self.name in ORDERS or self.name == DRAFT

    @property
    def line(self) -> str:
        """The line to submit to a session."""
        name = f"/{self.name}" if self.known else self.name
        return f"{name} {self.argument}".rstrip()


def parse_order(text: str) -> Order | None:
    """A text as an order with its argument; None if its first word is not the name of one."""
    name, _, argument = text.strip().partition(" ")
    name = ALSO.get(name.lower(), name.lower())
    order = Order(name, argument.strip())
    return order if order.known else None


def parse_prefixed(text: str) -> Order | None:
    """A channel message such as `!retry` as an order; None if it is not one."""
    return parse_order(text[len(PREFIX) :]) if text.startswith(PREFIX) else None


def parse_raw(raw: str) -> Order | None:
    """A raw command as an order, or as a made-up command, which the model reads as it was typed.

    None for a command of IRC, and if its first word is not a word of letters.
    """
    raw = _TRAILING.sub(r"\1", raw.strip())
    order = parse_order(raw)
    name, _, argument = raw.partition(" ")
    if order is not None or name.lower() in FOREIGN or name.lower() in COMMANDS:
        return order
    if not re.fullmatch(r"[A-Za-z][\w'-]{1,29}", name):
        return None
    return Order(f"/{name.lower()}", argument.strip())


def act(text: str, *nicks: str) -> Order:
    """The order that `/me text` is: slap for the slap with a trout, else the command /me.

    `nicks` are those of the model's people. Of several, the order names the one that is hit.
    """
    slap = _TROUT.fullmatch(text.strip())
    if slap is not None and slap["nick"].lower() in [nick.lower() for nick in nicks]:
        return Order("slap", slap["nick"] if len(nicks) > 1 else "")
    return Order("/me", text.strip())


def cheat_sheet(*nicks: str) -> list[str]:
    """The message of the day: the orders, and how to send them; `nicks` are of the model."""
    there = f"{' and '.join(nicks)} {'are' if len(nicks) > 1 else 'is'} there"
    home = "are from there" if len(nicks) > 1 else "is from there"
    return [
        "You are on a network whose other people are a language model.",
        f"Join any channel, say #boston: {there}, and {home}.",
        "The topic is the scene's, a whois of the model its bio. Each channel is kept.",
        "Beside talking there is:",
        *help_lines(),
        "Say it as !cast in the channel, /CAST in HexChat, /quote CAST elsewhere, or",
        "/msg *relay cast. RETRY #sea is meant for #sea; RETRY, for where you last spoke.",
        "Any other command is for the model: /quote dance wildly.",
        "`relay-gguf irc --aliases irssi` (or weechat) prints aliases.",
    ]


def help_lines() -> list[str]:
    """The table of orders, a line each."""
    return [f"  {name.upper():9} {text}" for name, text in ORDERS.items()]


def menu() -> list[MenuEntry]:
    """The orders for the menu of the web page, with the arguments that they take in a chat."""
    return [
        MenuEntry(name, COMMANDS[name].argument if name in COMMANDS else "", text)
        for name, text in [*ORDERS.items(), (DRAFT, COMMANDS[DRAFT].help)]
    ]


def aliases(client: str) -> list[str]:
    """The lines for a client's input or configuration that define an alias for each order.

    Typed in a window, an alias is about the channel of that window.

    Args:
        client: irssi, whose `$C` is the window's channel (empty in a query), or weechat, whose
            `$channel` is the buffer's channel or nick.
    """
    begin = {
        "irssi": "/alias {0} quote {1} $C $*",
        "weechat": "/alias add {0} /quote {1} $channel $*",
    }[client]
    names = [name for name in ORDERS if name not in ("help", "cycle")]  # both clients have these
    return [begin.format(name, name.upper()) for name in names]
