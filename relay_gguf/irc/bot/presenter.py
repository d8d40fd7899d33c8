"""Events of a session as messages in a channel."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Final

from relay_gguf.conversation.events import (
    Alternative,
    Draft,
    Event,
    Failed,
    Notice,
    Offered,
    Piece,
    Said,
    Trimmed,
    Typing,
)
from relay_gguf.conversation.messages import NICKS, SILENCE, is_notice
from relay_gguf.conversation.wording import choice_notice, cut_mark
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import ServerActions, Target
from relay_gguf.irc.network.message import (
    CHOICE_TAG,
    NO_TAGS,
    REPLY_TAG,
    SECONDS_TAG,
    TOKENS_TAG,
)

from .channel_log import ChannelLog
from .orders import ORDERS, PREFIX

_COMMANDS = re.compile(rf"(?<![\w/])/(?=(?:{'|'.join(ORDERS)})\b)")
"""The slash of an order: typed in a client, it would never be sent."""

_BETWEEN: Final = 0.1
"""Seconds between two looks at what is being written."""
_MOST_SHOWN: Final = 1500
"""Characters of it: a line's tags have room for some 4000 bytes."""


class Presenter:
    """Shows the events of one message or order where it was sent."""

    def __init__(
        self,
        server: ServerActions,
        where: Target,
        client: Client,
        *,
        nick: str,
        quiet: bool,
        log: ChannelLog | None = None,
        standing: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing yet.

        Args:
            server: sends the messages.
            where: the channel, or the client of a private talk.
            client: sent the message or order.
            nick: the model's.
            quiet: leave out IRC's own lines (`* ...`), which all have seen already, as a topic.
            log: where the messages in a channel are written; None writes none.
            standing: which of the replies to the last words stands now: `2/3`; '' for none.
            clock: in seconds.
        """
        self._server = server
        self._where = where
        self._client = client
        self._nick = nick
        self._quiet = quiet
        self._log = log
        self._standing, self._clock = standing, clock
        self._typing: set[str] = set()
        self._written, self._writer, self._shown = "", "", clock()

    def show(self, event: Event) -> None:
        """Show an event; those that IRC has no line for are left out."""
        match event:
            case Typing(nick, opening, draft=False) if nick != NICKS["input"]:
                self._typing.add(self._called(nick))
                self._writer, self._written = self._called(nick), opening
                self.still_typing()
            case Piece(text) if self._typing == {self._writer}:  # else: whose is it?
                self._write_on(text)
            case Said(message) if is_notice(message):
                self._notice(message.content)
            case Said(message) if message.generated or event.reason is not None:
                self._end_typing(self._called(message.nick))
                own = message.nick != NICKS["input"]
                sender = self._called(message.nick) if own else self._client.nick
                text = message.content if own else self._unnamed(message.content)
                self._say(text or SILENCE, sender, self._tags(event) if own else NO_TAGS)
                if mark := cut_mark(event):
                    self._inform(mark)
            case Alternative(event=Typing(nick)) if not self._typing:
                self._typing.add(self._called(nick))
                self.still_typing()
            case Alternative(event=Said(message), number=number) if number:
                choice = {CHOICE_TAG: str(number)}
                self._inform(f"{number}: {message.content or SILENCE}", choice)
            case Offered():
                self.end_typing()
                self._inform(choice_notice(event))
            case Notice(text):
                self._inform(text)
            case Failed(text):
                self._inform(f"error: {text}")
            case Trimmed():
                count = len(event.indices)
                self._inform(f"The context is full: the {count} oldest messages left it.")
            case Draft(text):
                self._server.notice(
                    self._client, f"draft: {_COMMANDS.sub(PREFIX, text)}", self._nick
                )
            case _:
                pass

    def _write_on(self, text: str) -> None:
        """Show the text so far, ten times a second at most."""
        self._written += text
        now = self._clock()
        if now - self._shown >= _BETWEEN and len(self._written) <= _MOST_SHOWN:
            self._shown = now
            self._server.writing(self._where, self._written, self._writer)

    def _tags(self, said: Said) -> dict[str, str]:
        """What clients are told of a reply beside its text."""
        tags = {REPLY_TAG: standing} if (standing := self._standing()) else {}
        if said.reason is not None and said.seconds > 0:
            tags |= {TOKENS_TAG: str(said.tokens), SECONDS_TAG: f"{said.seconds:.2f}"}
        return tags

    def _say(self, text: str, sender: str, tags: Mapping[str, str]) -> None:
        self._server.say(self._where, text, sender, tags)
        if self._log is not None and isinstance(self._where, str):
            self._log.said(self._where, sender, text)

    def _act(self, text: str) -> None:
        self._server.act(self._where, text, self._client.nick)
        if self._log is not None and isinstance(self._where, str):
            self._log.said(self._where, self._client.nick, text, action=True)

    def still_typing(self) -> None:
        """Show again who types; clients forget it after six seconds."""
        for nick in sorted(self._typing):
            self._server.typing(self._where, "active", nick)

    def end_typing(self) -> None:
        """Show that nobody types any more, of those who did."""
        for nick in sorted(self._typing):
            self._end_typing(nick)

    def _end_typing(self, nick: str) -> None:
        if nick in self._typing:
            self._server.typing(self._where, "done", nick)
            self._typing.remove(nick)

    def _called(self, nick: str) -> str:
        """The nick on the network of one of the model's people."""
        return self._nick if nick == NICKS["model"] else nick

    def _unnamed(self, text: str) -> str:
        """What LAZY wrote, without the client's nick, as which the model writes among several."""
        return text.removeprefix(f"{self._client.nick}:").lstrip() or text

    def _notice(self, text: str) -> None:
        """A `* ...` line of the context: a slap is sent as an action, others as server notices."""
        text = text.removeprefix("* ")
        trout = " slaps "
        if trout in text and text.endswith("large trout"):
            if not self._quiet:
                whom, _, rest = text.split(trout, 1)[1].partition(" ")
                self._act(f"slaps {self._called(whom)} {rest}")
        elif not self._quiet:
            self._inform(text)

    def _inform(self, text: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        text = _COMMANDS.sub(PREFIX, text)
        for line in text.split("\n"):
            self._server.inform(self._where, line.removeprefix("* "), tags)
