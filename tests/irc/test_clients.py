"""Programs that people use: irssi, WeeChat and ii connect, join, talk. Run with -m clients."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from programs import Screen, needs
from wire import Running, Serve, wait_for

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.hooks import Hooks, ServerActions, StoredMessage
from relay_gguf.irc.network.message import MessageKind
from relay_gguf.irc.network.user import Persona

pytestmark = pytest.mark.clients


class Capitals(Hooks):
    """Answers in capitals, types first, has a past, and knows RETRY."""

    personas = (Persona("user", "The model"),)
    server: ServerActions

    def __init__(self) -> None:
        self.commands: list[str] = []

    def attach(self, server: ServerActions) -> None:
        self.server = server

    async def messaged(
        self, client: Client, target: str, text: str, kind: MessageKind, lines: Sequence[str]
    ) -> None:
        where = target if target.startswith("#") else client
        self.server.typing(where, "active")
        self.server.say(where, f"{text.upper()}\nund nochmal: {kind}")

    async def unknown_command(
        self, client: Client, verb: str, params: Sequence[str], raw: str
    ) -> bool:
        self.commands.append(raw)
        return True

    async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
        return [StoredMessage(time.time() - 7200, "user", "two hours ago")]


@pytest.fixture
def hooks() -> Capitals:
    return Capitals()


@pytest.fixture
def running(serve: Serve, hooks: Capitals) -> Running:
    return serve(hooks)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    opened: list[Screen] = []

    def start(*command: str) -> Screen:
        opened.append(Screen(tmp_path, *command))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_irssi_talks_to_the_server(
    running: Running, hooks: Capitals, tmp_path: Path, screen: Callable[..., Screen]
) -> None:
    needs("irssi", "tmux")
    host, port = running.address
    # Otherwise it waits for more than two seconds before each command.
    config = 'settings = { "irc/core" = { cmd_queue_speed = "10msec"; }; };'
    (tmp_path / "config").write_text(config)
    irssi = screen("irssi", f"--running={tmp_path}", "-n", "anon", "-c", host, "-p", str(port))
    wait_for(irssi.shows("End of MOTD"))
    irssi.type("/join #lisbon")
    wait_for(irssi.shows("Join to #lisbon was synced"))  # it got 324, 315 and 368
    assert irssi.shows("two hours ago")()
    irssi.type("hello there")
    wait_for(irssi.shows("HELLO THERE"))
    assert irssi.shows("und nochmal: privmsg")()
    irssi.type("/me waves")
    wait_for(irssi.shows("und nochmal: action"))
    irssi.type("/topic Sardines")
    wait_for(irssi.shows("changed the topic of #lisbon to: Sardines"))
    irssi.type("/whois user")
    irssi.type("/window goto 1")
    wait_for(irssi.shows("End of WHOIS"))
    irssi.type("/quote RETRY now")
    wait_for(lambda: hooks.commands == ["RETRY now"])
    irssi.type("/quit bye")
    wait_for(lambda: not running.server.network.clients)


def test_weechat_talks_to_the_server(
    running: Running, hooks: Capitals, tmp_path: Path, screen: Callable[..., Screen]
) -> None:
    needs("weechat-headless", "tmux")
    host, port = running.address
    log = tmp_path / "logs" / "irc.relay.#lisbon.weechatlog"
    commands = [
        f"/server add relay {host}/{port} -nicks=anon -notls -nossl -autojoin=#lisbon",
        "/set logger.file.flush_delay 0",
        "/set irc.server_default.anti_flood_prio_high 0",
        "/connect relay",
        "/wait 3 /msg -server relay #lisbon hello there",
        "/wait 4 /quote -server relay RETRY now",
        "/wait 5 /quit",
    ]
    options = [part for command in commands for part in ("-r", command)]
    screen("weechat-headless", "-d", str(tmp_path), *options)
    wait_for(lambda: log.exists() and "HELLO THERE" in log.read_text("utf-8"), 20)
    text = log.read_text("utf-8")
    assert "two hours ago" in text
    assert "@localhost) has joined #lisbon" in text
    wait_for(lambda: hooks.commands == ["RETRY now"])
    wait_for(lambda: not running.server.network.clients)


def test_ii_talks_to_the_server(running: Running, hooks: Capitals, tmp_path: Path) -> None:
    needs("ii")
    host, port = running.address
    command = ["ii", "-s", host, "-p", str(port), "-n", "anon", "-i", str(tmp_path)]
    folder = tmp_path / host
    with subprocess.Popen(command) as ii:
        try:
            # It reads its files from the greeting on; what is written before that is lost.
            wait_for(lambda: (folder / "out").exists())
            wait_for(lambda: "End of MOTD" in (folder / "out").read_text("utf-8"))
            (folder / "in").write_text("/j #lisbon\n")
            wait_for((folder / "#lisbon" / "in").exists)
            (folder / "#lisbon" / "in").write_text("hello there\n")
            out = folder / "#lisbon" / "out"
            wait_for(lambda: "HELLO THERE" in out.read_text("utf-8"))
            (folder / "in").write_text("/RETRY now\n")
        finally:
            ii.terminate()
    wait_for(lambda: not running.server.network.clients)
