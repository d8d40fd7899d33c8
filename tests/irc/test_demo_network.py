"""The demo model on the network, and irssi as people use it. Run with -m clients."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Screen, needs
from wire import wait_for

pytestmark = pytest.mark.clients
COMMAND = [sys.executable, "-m", "relay_gguf", "irc", "--port", "0"]


class Network:
    """`relay-gguf irc` as a program."""

    def __init__(self, model: Path) -> None:
        self.program = subprocess.Popen([*COMMAND, str(model)], stderr=subprocess.PIPE, text=True)
        assert self.program.stderr is not None
        line = self.program.stderr.readline()
        found = re.search(r"port (\d+)", line)
        assert found, line
        self.port = found[1]

    def end(self) -> int:
        """Ask it to end; its exit code."""
        self.program.send_signal(signal.SIGTERM)
        code = self.program.wait(20)
        assert self.program.stderr is not None
        self.program.stderr.close()
        return code


@pytest.fixture
def network(demo: Path) -> Iterator[Network]:
    opened = Network(demo)
    yield opened
    if opened.program.poll() is None:
        opened.end()


def irssi(folder: Path, network: Network) -> Screen:
    folder.mkdir()
    config = 'settings = { "irc/core" = { cmd_queue_speed = "10msec"; }; };'
    (folder / "config").write_text(config)
    screen = Screen(
        folder, "irssi", f"--home={folder}", "-n", "ann", "-c", "127.0.0.1", "-p", network.port
    )
    wait_for(screen.shows("End of MOTD"))
    screen.type("/join #naples")
    wait_for(screen.shows("Join to #naples was synced"))
    return screen


def test_a_conversation_in_irssi(network: Network, demo: Path, tmp_path: Path) -> None:
    needs("irssi", "tmux")
    screen = irssi(tmp_path / "first", network)
    try:
        screen.type("hi! where are you from?")
        wait_for(screen.shows("< user> Naples"), 30)
        screen.type("/topic sardines and boats")
        wait_for(screen.shows("changed the topic of #naples to: sardines and boats"))
        screen.type("/quote CAST I'm a dentist and I love cycling.")
        wait_for(screen.shows("user's bio: I'm a dentist"))
        screen.type("/quote RETRY")
        wait_for(screen.shows("Nothing to retry"))
        screen.type("do you like the sea?")
        wait_for(lambda: screen.text().count("< user>") == 2, 30)
        screen.type("/quote RETRY")
        wait_for(screen.shows("user's reply is replaced (2/2)"))
        wait_for(lambda: screen.text().count("< user>") == 3, 30)
        screen.type("/whois user")
        screen.type("/window goto 1")
        wait_for(screen.shows("bio: I'm a dentist and I love cycling."))
        screen.type("/quit")
        assert network.end() == 0
    finally:
        screen.close()

    again = Network(demo)
    screen = irssi(tmp_path / "second", again)
    try:
        wait_for(screen.shows("do you like the sea?"))
        assert "sardines and boats" in screen.text()
        assert "< user> Naples" in screen.text()
    finally:
        screen.close()
        assert again.end() == 0
