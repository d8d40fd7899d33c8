"""Ten thousand lines of nonsense, half of it nearly right: the server lives and keeps nothing."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator, Sequence
from random import Random

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import Running, Wire, wait_for

from relay_gguf.irc.commands.table import TABLE
from relay_gguf.irc.network.hooks import Hooks, ServerActions, StoredMessage
from relay_gguf.irc.network.limits import Limits
from relay_gguf.irc.network.user import Persona
from relay_gguf.irc.server import Server

CONNECTIONS = 4
LINES = 50
WORDS = [
    *(
        "#c",
        "#d",
        "#C",
        "#",
        "anon",
        "bob",
        "user",
        "*relay",
        "witness",
        "ghost",
        "0",
        "*",
        "",
        ":",
    ),
    *("+o", "-o", "+b", "b", "+imnt", "-imntz", "+klb", "+v-v", "+B", "key", "9", "-1", "99999999"),
    *(
        "LS",
        "302",
        "REQ",
        "END",
        "LIST",
        "LATEST",
        "BEFORE",
        "msgid=1",
        "timestamp=2026-01-01T00:00",
    ),
    *("draft/multiline", "batch message-tags draft/multiline echo-message", "-batch", "+1", "-1"),
    *(
        "\x01VERSION\x01",
        "\x01ACTION x",
        "\x02bold",
        "漢字",
        "👩‍👧",
        "\u202e",
        "a" * 300,
        ",",
        "a,b,#c",
    ),
]
complaints: list[logging.LogRecord] = []
TAGS = ["", "", "", "@+typing=active ", "@batch=1 ", "@batch=1;draft/multiline-concat ", "@a=\\ "]


class Complaints(logging.Handler):
    """Keeps what the server logs."""

    def emit(self, record: logging.LogRecord) -> None:
        complaints.append(record)


class Chatterbox(Hooks):
    """Repeats what it hears, three times."""

    personas = (Persona("user"), Persona("*relay", present=False))
    server: ServerActions

    def attach(self, server: ServerActions) -> None:
        self.server = server

    async def messaged(self, client: object, target: str, text: str, *rest: object) -> None:
        self.server.say(target, text * 3)

    async def history(self, channel: str, limit: int) -> Sequence[StoredMessage]:
        return [StoredMessage(1e9, "user", "past\n" * 5, msgid="1")]


def line(random: Random) -> bytes:
    """One line, mostly of words that mean something, often damaged."""
    if random.random() < 0.1:
        return random.randbytes(random.randrange(40))
    words = random.choices(WORDS, k=random.choice([0, 1, 1, 2, 2, 3, 5]))
    if words and random.random() < 0.5:
        words[-1] = ":" + words[-1]
    verb = random.choice([*TABLE, "DANCE", "001", "BATCH", "JOIN", "JOIN", "MODE", "PRIVMSG"])
    while verb == "QUIT":
        verb = "JOIN"
    data = (random.choice(TAGS) + " ".join([verb, *words])).encode()
    for _ in range(random.choice([0, 0, 0, 1, 2, 9])):
        at = random.randrange(len(data) + 1)
        data = data[:at] + random.choice([b"", random.randbytes(1), data[:9]]) + data[at + 1 :]
    return data * random.choice([1] * 20 + [40])


def speak(wire: Wire, nick: str, random: Random) -> None:
    """A connection from the first line to the last; how it ends differs."""
    sent = [line(random) for _ in range(LINES)]
    if random.random() < 0.9:
        caps = random.choice(["", "CAP REQ :batch draft/multiline message-tags\r\nCAP END\r\n"])
        sent.insert(0, f"{caps}NICK {nick}\r\nUSER {nick} 0 * :x\r\nJOIN #c".encode())
    wire.send_bytes(random.choice([b"\r\n", b"\n"]).join(sent))
    if random.random() < 0.8:
        wire.send_bytes(b"\r\nQUIT :done\r\n")


@pytest.fixture(scope="module")
def target() -> Iterator[Running]:
    running = Running(lambda: Server(Chatterbox(), limits=Limits(burst=1_000_000)))
    handler = Complaints(logging.ERROR)
    logging.getLogger("relay_gguf.irc").addHandler(handler)
    yield running
    running.stop()
    logging.getLogger("relay_gguf.irc").removeHandler(handler)
    assert running.errors == []


@given(st.integers(0, 1 << 32))
@pytest.mark.thorough
def test_nonsense_harms_nobody_and_leaves_nothing(target: Running, seed: int) -> None:
    random = Random(seed)
    witness = Wire(target.address).register("witness")
    witness.ask("JOIN #c")
    wires = [Wire(target.address) for _ in range(CONNECTIONS)]
    try:
        for number, wire in enumerate(wires):
            try:
                speak(wire, ["anon", "bob", "carl", "dora"][number], random)
            except ConnectionError:
                continue  # taken for a browser
        for wire in wires:
            wire.drain(0.05)  # not all of them quit
        witness.sync()
    finally:
        for wire in (witness, *wires):
            wire.close()
    network = target.server.network
    wait_for(lambda: not network.clients)
    assert set(network.users) == {"user", "*relay"}
    assert network.channels == {}
    assert complaints == []


@pytest.mark.thorough
def test_memory_is_steady(target: Running) -> None:
    process = psutil.Process(os.getpid())
    random = Random(7)

    def chatter() -> int:
        for _ in range(5):
            wire = Wire(target.address)
            wire.send_bytes(b"\r\n".join(line(random) for _ in range(LINES)) + b"\r\nQUIT\r\n")
            wire.rest()
            wire.close()
        gc.collect()
        return int(process.memory_info().rss)

    before = max(chatter() for _ in range(3))
    after = min(chatter() for _ in range(5))
    assert after - before < 3_000_000
    wait_for(lambda: not target.server.network.clients)
