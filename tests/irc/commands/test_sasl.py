"""SASL PLAIN with the password of the server."""

from __future__ import annotations

from base64 import b64encode

import pytest
from wire import Dial, Running, Serve, Wire

from relay_gguf.irc.network.limits import Limits


@pytest.fixture
def running(serve: Serve) -> Running:
    """A server with a password."""
    return serve(password="secret", limits=Limits(guesses=2, guess=1000.0))


def plain(name: str, password: str, acting: str = "") -> str:
    return "AUTHENTICATE " + b64encode(f"{acting}\0{name}\0{password}".encode()).decode()


def begin(wire: Wire, *lines: str) -> list[str]:
    return wire.ask("CAP REQ :sasl", "NICK anon", "USER anon 0 * :Anon", *lines)


def test_a_password_by_sasl_lets_in(running: Running, dial: Dial) -> None:
    wire = dial(running)
    got = begin(wire, "AUTHENTICATE PLAIN", plain("anon", "secret"))
    assert got[-3:] == [
        "AUTHENTICATE +",
        ":relay.localhost 900 anon anon!anon@localhost anon :You are now logged in as anon",
        ":relay.localhost 903 anon :SASL authentication successful",
    ]
    assert wire.ask("AUTHENTICATE PLAIN")[0].split()[1] == "907"
    wire.send("CAP END")
    wire.until(" 376 ")


@pytest.mark.parametrize(
    ("lines", "numeric"),
    [
        (["AUTHENTICATE PLAIN", plain("anon", "wrong")], "904"),
        (["AUTHENTICATE PLAIN", plain("anon", "secret", "other")], "904"),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE x%"], "904"),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE +"], "904"),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE *"], "906"),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE " + "x" * 401], "905"),
        (["AUTHENTICATE PLAIN", *["AUTHENTICATE " + "x" * 400] * 5], "905"),
        (["AUTHENTICATE EXTERNAL"], "904"),
    ],
)
def test_what_is_not_the_password_does_not(
    running: Running, dial: Dial, lines: list[str], numeric: str
) -> None:
    wire = dial(running)
    assert begin(wire, *lines)[-1].split()[1] == numeric
    wire.send("CAP END")
    assert wire.rest()[-1].endswith("(Password incorrect)")


def test_guesses_by_sasl_are_counted(running: Running, dial: Dial) -> None:
    wire = dial(running)
    begin(wire, *["AUTHENTICATE PLAIN", plain("anon", "wrong")] * 3)
    got = wire.ask("AUTHENTICATE PLAIN", plain("anon", "secret"))
    assert "Too many wrong passwords" in got[-2]
    assert got[-1].split()[1] == "904"


def test_sasl_is_offered_where_there_is_a_password(
    running: Running, serve: Serve, dial: Dial
) -> None:
    assert " sasl=PLAIN " in dial(running).ask("CAP LS 302")[0]
    other = dial(serve())
    assert "sasl" not in other.ask("CAP LS 302")[0]
    assert " NAK :sasl" in other.ask("CAP REQ :sasl")[0]
