"""The users that are gone, or have another nick: for WHOWAS."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from relay_gguf.irc.protocol.names import matches

from .user import User

_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class FormerUser:
    """A user under a nick that it does not have any more; `when` is the Unix time of that."""

    nick: str
    username: str
    host: str
    realname: str
    when: float


class FormerUsers:
    """The users that left last."""

    def __init__(self) -> None:
        self._users: deque[FormerUser] = deque(maxlen=_MOST)

    def note(self, user: User, nick: str) -> None:
        """A user does not have this nick any more."""
        former = FormerUser(nick, user.username, user.host, user.realname, time.time())
        self._users.appendleft(former)

    def find(self, mask: str, most: int) -> list[FormerUser]:
        """Users that had a nick which a mask matches, the last to leave first; at most `most`."""
        return [user for user in self._users if matches(mask, user.nick)][:most]
