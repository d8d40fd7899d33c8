"""Which nicks clients want to be told about when they come and go: IRCv3 monitor."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from relay_gguf.irc.protocol.names import fold
from relay_gguf.irc.protocol.numerics import RPL_MONOFFLINE, RPL_MONONLINE

from .client import Client
from .user import User


class Watches:
    """The nicks that each client watches."""

    def __init__(self) -> None:
        self._nicks: WeakKeyDictionary[Client, dict[str, str]] = WeakKeyDictionary()

    def of(self, client: Client) -> dict[str, str]:
        """The nicks that a client watches, by folded nick; to be changed by the caller."""
        return self._nicks.setdefault(client, {})

    def came(self, user: User) -> None:
        """Tell those who watch for a nick that it is here."""
        for client in self._watchers(user.nick):
            client.reply(RPL_MONONLINE, user.source)

    def went(self, nick: str) -> None:
        """Tell those who watch for a nick that it is gone."""
        for client in self._watchers(nick):
            client.reply(RPL_MONOFFLINE, nick)

    def _watchers(self, nick: str) -> list[Client]:
        key = fold(nick)
        return [client for client, nicks in self._nicks.items() if key in nicks]
