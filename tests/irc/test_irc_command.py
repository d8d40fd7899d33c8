"""`relay-gguf irc` as a user meets it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from wire import Running, Wire

from relay_gguf.cli.app import app
from relay_gguf.errors import SettingsError
from relay_gguf.irc.bot.orders import ORDERS


def irc(*arguments: str) -> str:
    """What the command prints.

    Raises:
        RelayError: as the command does.
    """
    result = CliRunner().invoke(app, ["irc", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--host", "0.0.0.0"], "set a password"),
        (["--host", "256.0.0.1", "--password", "x"], "Cannot listen on 256.0.0.1, port 6667"),
        (["--port", "0", "--reply", "never"], "--reply is 'never'; it may be auto, always"),
        (["--port", "0", "--model-nick", "1 a"], "--model-nick is '1 a', which is not a nick"),
        (["--port", "0", "--log", "mirc"], "--log is 'mirc'; it may be irssi or weechat"),
        (["--port", "0", "--server-name", "a b"], "--server-name is 'a b'; it may be like irc."),
        (["--port", "0", "--tls-key", "x.pem"], "--tls-key needs its certificate"),
        (["--port", "0", "--slots", "0"], "slots is 0; it must be 1 to 256"),
        (["--aliases", "hexchat"], "There are no aliases for 'hexchat'"),
    ],
)
def test_an_option_with_a_wrong_value_is_an_error(arguments: list[str], problem: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(problem)):
        irc(*arguments)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="Cannot write logs into"):
        irc("--port", "0", "--log", "irssi", "--logs", str(tmp_path / "file" / "logs"))


def test_a_taken_port_is_an_error_before_a_model_is_looked_for(running: Running) -> None:
    port = running.address[1]
    with pytest.raises(SettingsError, match=f"port {port}: .* --port takes another one"):
        irc("--port", str(port))


@pytest.mark.parametrize("client", ["irssi", "weechat"])
def test_aliases_are_printed_for_each_order(client: str) -> None:
    printed = irc("--aliases", client)
    assert len(printed.splitlines()) == len(ORDERS) - 2  # clients have help and cycle
    assert "RETRY" in printed


def test_the_help_shows_examples() -> None:
    assert "  relay-gguf irc --demo\n" in irc("--help")


def test_a_bare_server_runs_until_sigterm() -> None:
    command = [sys.executable, "-m", "relay_gguf", "irc", "--bare", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stderr is not None
            found = re.search(r"Connect an IRC client to (\S+), port (\d+)", next(program.stderr))
            assert found
            wire = Wire((found[1], int(found[2]))).register("anon")
            program.send_signal(signal.SIGTERM)
            goodbye = "The server goes to sleep. Your scenes are saved."
            assert wire.rest() == [f"ERROR :Closing link: anon[localhost] ({goodbye})"]
            wire.close()
            assert program.wait(20) == 0
        finally:
            program.kill()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--bare", "--demo"], "--bare runs without a model"),
        (["model.gguf", "--bare"], "--bare runs without a model"),
        (["model.gguf", "--demo"], "not both"),
    ],
)
def test_a_model_that_would_be_ignored_is_refused(arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(app, ["irc", *arguments])
    assert result.exit_code == 2
    assert problem in result.output
