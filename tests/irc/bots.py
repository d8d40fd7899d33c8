"""Bots for the tests: what their model read, and a hold on its replies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fake import FakeEngine
from wire import PATIENCE, Wire

from relay_gguf.irc.bot.bot import Bot

MakeBot = Callable[..., Bot]
"""`make_bot("first reply", "second", nick="mia")`: a bot, as a fixture makes it."""


class Gate:
    """Holds an engine before a token of one of its replies until the gate is opened."""

    def __init__(self, engine: FakeEngine, *, token: int = 3, reply: int = 1) -> None:
        """Tokens and replies are counted from 1."""
        self._engine, self._token, self._reply = engine, token, reply
        self._reached, self._opened = threading.Event(), threading.Event()
        engine.on_token = self._hold

    def wait(self) -> None:
        """Wait until the engine is there."""
        assert self._reached.wait(PATIENCE)

    def open(self) -> None:
        """Let the engine go on."""
        self._opened.set()

    def _hold(self, count: int) -> None:
        if count == self._token and len(self._engine.prompts) == self._reply:
            self._reached.set()
            assert self._opened.wait(PATIENCE)


def prompt(bot: Bot) -> str:
    """The last prompt of a bot's model, with | for its control tokens."""
    engine: Any = bot.config.engine
    text = bytes(b if b < 256 else 0x7C for b in engine.prompts[-1]).decode()
    return text.removeprefix("|").replace("|\n", "|")


def said(wire: Wire, pattern: str = "PRIVMSG") -> str:
    """The next line in which a pattern is found."""
    return wire.until(pattern)[-1]
