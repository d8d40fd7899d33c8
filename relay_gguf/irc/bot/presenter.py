"""What a session's events look like in a channel."""

from __future__ import annotations

import re

from relay_gguf.conversation.events import Draft, Event, Failed, Notice, Said, Trimmed, Typing
from relay_gguf.conversation.messages import NICKS, SILENCE, is_notice
from relay_gguf.conversation.wording import cut_mark
from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.speaker import Voice

from .channel_log import Chronicle
from .orders import ORDERS, PREFIX

_COMMANDS = re.compile(rf"(?<![\w/])/(?=(?:{'|'.join(ORDERS)})\b)")
"""The slash of an order, which a client would keep to itself."""


class Showing:
    """Shows the events of one thing that somebody said or asked, where it was said."""

    def __init__(
        self,
        voice: Voice,
        where: str | Client,
        client: Client,
        nick: str,
        *,
        quiet: bool,
        chronicle: Chronicle | None = None,
    ) -> None:
        """Show to a channel, or to a client.

        Args:
            voice: speaks on the server.
            where: the channel, or who talks in private.
            client: who said it.
            nick: the model's.
            quiet: IRC's own lines were seen by all already, as a topic is.
            chronicle: is told what is said in a channel.
        """
        self._voice = voice
        self._where = where
        self._client = client
        self._nick = nick
        self._quiet = quiet
        self._chronicle = chronicle
        self._types = False

    def show(self, event: Event) -> None:
        """One event."""
        match event:
            case Typing(nick, draft=False) if nick == NICKS["model"]:
                self._types = True
                self.still_typing()
            case Said(message) if is_notice(message):
                self._notice(message.content)
            case Said(message) if message.generated or event.reason is not None:
                self.end()
                own = message.nick == NICKS["model"]
                sender = self._nick if own else self._client.nick
                self._say(message.content or SILENCE, sender)
                if mark := cut_mark(event):
                    self._inform(mark)
            case Notice(text):
                self._inform(text)
            case Failed(text):
                self._inform(f"error: {text}")
            case Trimmed():
                count = len(event.indices)
                self._inform(f"The context is full: the {count} oldest messages left it.")
            case Draft(text):
                self._voice.notice(
                    self._client, f"draft: {_COMMANDS.sub(PREFIX, text)}", self._nick
                )
            case _:
                pass

    def _say(self, text: str, sender: str) -> None:
        self._voice.say(self._where, text, sender)
        if self._chronicle is not None and isinstance(self._where, str):
            self._chronicle.said(self._where, sender, text)

    def _act(self, text: str) -> None:
        self._voice.act(self._where, text, self._client.nick)
        if self._chronicle is not None and isinstance(self._where, str):
            self._chronicle.said(self._where, self._client.nick, text, action=True)

    def still_typing(self) -> None:
        """Say that the model types, if it does; this is forgotten after six seconds."""
        if self._types:
            self._voice.typing(self._where, "active", self._nick)

    def end(self) -> None:
        """The model types no more."""
        if self._types:
            self._voice.typing(self._where, "done", self._nick)
        self._types = False

    def _notice(self, text: str) -> None:
        """A line of IRC's own: the trout is an action, the others are the server's."""
        text = text.removeprefix("* ")
        trout = " slaps "
        if trout in text and text.endswith("large trout"):
            if not self._quiet:
                self._act(f"slaps {self._nick}{_after(text)}")
        elif not self._quiet:
            self._inform(text)

    def _inform(self, text: str) -> None:
        text = _COMMANDS.sub(PREFIX, text)
        for line in text.split("\n"):
            self._voice.inform(self._where, line.removeprefix("* "))


def _after(text: str) -> str:
    """What follows `anon slaps user`."""
    return " " + text.split(" ", 3)[3]
