"""`relay-gguf web` as a user meets it."""

from __future__ import annotations

import re
import threading
import webbrowser
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from relay_gguf.cli.irc import print_address
from relay_gguf.cli.serving import page, web
from relay_gguf.errors import SettingsError

app = typer.Typer()
app.command()(web.web)


def run(*arguments: str) -> str:
    """What the command prints.

    Raises:
        RelayError: as the command does.
    """
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None:
        raise result.exception
    return result.output


def test_without_websockets_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=re.escape("pip install 'relay-gguf[web]'")):
        run("--bare", "--port", "0")


def test_it_has_the_options_of_irc_and_checks_them() -> None:
    with pytest.raises(SettingsError, match="set a password with --password"):
        run("--host", "0.0.0.0")
    with pytest.raises(SettingsError, match="--reply is 'never'"):
        run("--reply", "never", "--port", "0")
    assert "relay-gguf web --demo --open" in run("--help")


@pytest.mark.parametrize("port", ["6667", "6697", "22"])
def test_a_port_that_no_browser_opens_is_refused(port: str) -> None:
    with pytest.raises(SettingsError, match=f"Browsers refuse to open port {port}.* such as 8667"):
        run("--bare", "--port", port)


@pytest.mark.parametrize(("port", "told"), [(6667, False), (8667, True)])
def test_irc_tells_of_the_page_where_a_browser_opens_it(
    port: int, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    print_address("127.0.0.1", port, False)
    assert (f", or open http://127.0.0.1:{port}/ in a browser." in capsys.readouterr().err) == told


@pytest.mark.parametrize("found", [True, False])
def test_the_address_is_printed_and_opened(found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    done = threading.Event()

    def open_page(address: str) -> bool:
        opened.append(address)
        done.set()
        return found

    async def serve(server: Any, host: str, port: int, *, started: Any, **options: Any) -> None:
        started(host, 1234)
        done.wait(10)

    monkeypatch.setattr(webbrowser, "open", open_page)
    monkeypatch.setattr("relay_gguf.irc.lifetime.run_server", serve)
    printed = run("--bare", "--port", "0", "--open")
    assert "Open http://127.0.0.1:1234/ in a browser. Ctrl-C ends the server." in printed
    assert opened == ["http://127.0.0.1:1234/"]


@pytest.mark.parametrize(
    ("place", "address"),
    [
        (("0.0.0.0", 80, False), "http://127.0.0.1:80/"),
        (("::1", 80, True), "https://[::1]:80/"),
        (("irc.example.org", 443, True), "https://irc.example.org:443/"),
    ],
)
def test_the_address_is_one_that_a_browser_can_open(
    place: tuple[str, int, bool], address: str
) -> None:
    assert page.page_address(*place) == address
