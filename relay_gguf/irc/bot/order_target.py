"""Which channel or private talk an order is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Target
from relay_gguf.irc.protocol.names import fold, is_channel

from .orders import Order


class OrderTargets:
    """Where each client last spoke to the bot.

    A place is the name of a channel, or for a private talk the nick of the client; if that is with
    another person than the bot, the person's nick follows after a space.
    """

    def __init__(self, nick: str, is_person: Callable[[str], bool] = lambda nick: False) -> None:
        """Nobody has spoken yet.

        Args:
            nick: the bot's.
            is_person: whether another of the model's people has a nick.
        """
        self._nick = nick
        self._is_person = is_person
        self._last: WeakKeyDictionary[Client, str] = WeakKeyDictionary()

    def note(self, client: Client, target: str) -> None:
        """A client has spoken in a channel or to the bot, or has joined a channel."""
        self._last[client] = target

    def last(self, client: Client, channels: list[str]) -> str:
        """The place where a client last spoke, or else the channel it joined last; '' for none.

        Args:
            client: the client.
            channels: the names of its channels, in the order of joining.
        """
        target = self._last.get(client, "")
        if not is_channel(target) and (private := self.private(client, target)):
            return private
        if fold(target) in client.channels:
            return target
        return channels[-1] if channels else ""

    def private(self, client: Client, nick: str) -> str:
        """The place of a client's private talk with the bot, or another person; '' with nobody."""
        if fold(nick) == fold(self._nick):
            return client.nick
        return f"{client.nick} {fold(nick)}" if self._is_person(nick) else ""

    def resolve(self, client: Client, order: Order, channels: list[str]) -> tuple[str, Order]:
        """The place of an order, and the order without the word that named it.

        That is the channel or nick at the beginning of the argument, or else the place where the
        client last spoke. Arguments are as for `last`.
        """
        first, _, rest = order.argument.partition(" ")
        shorter = replace(order, argument=rest.strip())
        named = next((name for name in channels if fold(name) == fold(first)), "")
        if order.known and named:
            return named, shorter
        place = self.last(client, channels)
        is_private = not is_channel(place) and place == self.private(client, first)
        return place, shorter if place and order.known and is_private else order


def where_heard(client: Client, place: str) -> Target:
    """Where a place is heard: in the channel, or for a private talk by the client alone."""
    return place if is_channel(place) else client
