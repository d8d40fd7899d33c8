"""Servers for the tests, and clients at them; no error of a server is overlooked."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bots import MakeBot
from fake import FakeEngine
from wire import Connect, Dial, Running, Serve, Wire

from relay_gguf import SamplingParams
from relay_gguf.irc.bot.bot import Bot
from relay_gguf.irc.bot.bot_config import BotConfig
from relay_gguf.irc.network.limits import Limits
from relay_gguf.irc.server import Server


@pytest.fixture
def serve(caplog: pytest.LogCaptureFixture) -> Iterator[Serve]:
    """Start servers: `serve(hooks, limits=...)`; in the end all stop, without a complaint."""
    started: list[Running] = []

    def start(*args: Any, **kwargs: Any) -> Running:
        started.append(Running(lambda: Server(*args, **kwargs)))
        return started[-1]

    yield start
    for running in started:
        running.stop()
        assert running.errors == []
    for when in ("setup", "call"):
        ours = [r for r in caplog.get_records(when) if r.name.startswith("relay_gguf")]
        bad = [r for r in ours if r.levelno >= logging.ERROR]
        assert [r.getMessage() for r in bad if "expected" not in str(r.exc_info)] == []


@pytest.fixture
def running(serve: Serve) -> Running:
    """A server without a bot, where tests need not wait for talking too fast."""
    return serve(limits=Limits(burst=10_000))


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Open connections, which are closed in the end."""
    opened: list[Wire] = []

    def open_one(running: Running, *, small: bool = False) -> Wire:
        opened.append(Wire(running.address, small=small))
        return opened[-1]

    yield open_one
    for wire in opened:
        wire.close()


@pytest.fixture
def connect(dial: Dial) -> Connect:
    """Let clients come in, by nick: `connect(running, "anon", "bob", caps="...")`."""

    def let_in(running: Running, *nicks: str, caps: str = "") -> dict[str, Wire]:
        return {nick: dial(running).register(nick, caps) for nick in nicks}

    return let_in


@pytest.fixture
def make_bot(tmp_path: Path) -> Iterator[MakeBot]:
    """Bots by what their model will say, one reply after another; they are closed in the end."""
    made: list[Bot] = []

    def make(*replies: str, **options: Any) -> Bot:
        engine = options.pop("engine", None) or FakeEngine(replies)
        log, clock = options.pop("log", None), options.pop("clock", time.monotonic)
        config = BotConfig(
            engine, SamplingParams(seed=1), tmp_path / "irc", exports=tmp_path, **options
        )
        made.append(Bot(config, log, clock=clock))
        return made[-1]

    yield make
    for bot in made:
        bot.close()
