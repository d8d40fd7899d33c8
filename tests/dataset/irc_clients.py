"""irssi, WeeChat and ZNC, run for real against a small IRC server; what they log.

`python tests/dataset/irc_clients.py tests/golden/logs` writes the logs that are there, as their
clients name them.
"""

from __future__ import annotations

import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pexpect

TOPIC = "boats and the sea"


class Stub:
    """One channel, #boats, in which bob and carol are; whoever connects is the third."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.heard: queue.Queue[str] = queue.Queue()
        self.nick = "*"
        self._client: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def say(self, *lines: str) -> None:
        """Send lines, one after the other."""
        assert self._client is not None
        for line in lines:
            self._client.sendall(line.encode() + b"\r\n")
            time.sleep(0.01)

    def wait_for(self, beginning: str) -> str:
        """The next line from the client that begins so."""
        while True:
            line = self.heard.get(timeout=20)
            if line.startswith(beginning):
                return line

    def close(self) -> None:
        self._server.close()
        if self._client is not None:
            self._client.close()

    def _serve(self) -> None:
        try:
            self._client, _ = self._server.accept()
            with self._client.makefile("rb") as lines:
                for raw in lines:
                    line = raw.decode("utf-8", "replace").rstrip("\r\n")
                    self._answer(line)
                    self.heard.put(line)
        except OSError:
            return

    def _answer(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        rest = rest.removeprefix(":")
        me, here = self.nick, ":irc.stub"
        if line.startswith("CAP LS"):
            self.say(f"{here} CAP * LS :")
        elif word == "NICK" and self.nick == "*":
            self.nick = rest
        elif word == "NICK":
            self.say(f":{me}!~{me}@203.0.113.7 NICK :{rest}")
            self.nick = rest
        elif word == "USER":
            self.say(
                f"{here} 001 {me} :Welcome",
                f"{here} 004 {me} irc.stub 1 io nt",
                f"{here} 005 {me} CHANTYPES=# PREFIX=(ov)@+ NETWORK=Stub :are supported",
                f"{here} 422 {me} :no MOTD",
            )
        elif word == "PING":
            self.say(f"{here} PONG irc.stub :{rest}")
        elif word == "JOIN" and rest.startswith("#"):
            self.say(
                f":{me}!~{me}@203.0.113.7 JOIN :#boats",
                f"{here} 332 {me} #boats :{TOPIC}",
                f"{here} 333 {me} #boats bob!~b@198.51.100.9 1700000000",
                f"{here} 353 {me} = #boats :{me} @bob carol",
                f"{here} 366 {me} #boats :End of /NAMES list.",
            )
        elif line == "MODE #boats":
            self.say(f"{here} 324 {me} #boats +nt", f"{here} 329 {me} #boats 1700000000")
        elif line.startswith("MODE #boats"):
            self.say(f"{here} 368 {me} #boats :End")
        elif word == "WHO":
            self.say(f"{here} 315 {me} #boats :End")
        elif word == "QUIT":
            self.say("ERROR :bye")


BOB, CAROL = ":bob!~b@198.51.100.9", ":carol!~c@host.example"

SCRIPT = (
    f"{BOB} PRIVMSG #boats :ahoy ann, how's the sea?",
    "> it is wet",
    f"{CAROL} PRIVMSG #boats :ann: \x0304red\x03 sails or \x02white\x02?",
    "> red",
    f"{BOB} PRIVMSG #boats :\x01ACTION hoists the flag\x01",
    "/me salutes",
    f"{CAROL} PRIVMSG #boats :\x01ACTION slaps ann around a bit with a large trout\x01",
    "> ow! ☂",
    f"{BOB} NOTICE #boats :read the rules",
    f"{BOB} MODE #boats +v carol",
    f'{BOB} TOPIC #boats :rain, "more" rain',
    ":dave!~d@2001:db8::7 JOIN :#boats",
    f"{CAROL} NICK :carol|away",
    ":carol|away!~c@host.example PART #boats :tea",
    ":dave!~d@2001:db8::7 QUIT :Ping timeout",
    "/nick ann_",
    f"{BOB} PRIVMSG #boats :and the oars?",
    "> made of ash",
    ":eve!~e@host.example PRIVMSG ann_ :psst",
    f"{BOB} KICK #boats ann_ :enough",
)
"""What happens: a line from the server, `> ` said or `/` typed by the client itself."""

PAUSE = 0.1
"""Seconds that a client gets for a line."""


def play(stub: Stub, type_in: Callable[[str], None]) -> None:
    """The script, once the client has joined."""
    stub.wait_for("JOIN #")
    time.sleep(4 * PAUSE)
    for line in SCRIPT:
        if line.startswith(("> ", "/")):
            type_in(line.removeprefix("> "))
            stub.wait_for("NICK" if line.startswith("/nick") else "PRIVMSG")
        else:
            stub.say(line)
        time.sleep(PAUSE)


def irssi(home: Path) -> Path:
    """irssi's log of #boats."""
    stub = Stub()
    home.mkdir(parents=True)
    (home / "config").write_text(
        f'settings = {{ core = {{ real_name = "a"; user_name = "a"; nick = "ann"; }};\n'
        f'  "fe-common/core" = {{ autolog = "yes"; autolog_path = "{home}/logs/$0.log"; }};\n'
        '  "irc/core" = { cmd_queue_speed = "10msecs"; cmds_max_at_once = "99"; }; };\n'
    )
    child = pexpect.spawn(
        "irssi",
        [f"--home={home}", "-c", "127.0.0.1", "-p", str(stub.port), "-n", "ann"],
        env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"},
        dimensions=(40, 120),
    )
    try:
        stub.wait_for("MODE ann")
        child.send("/join #boats\r")
        play(stub, lambda text: child.send(text + "\r") and None)
        child.send("/quit\r")
        child.expect(pexpect.EOF, timeout=10)
    finally:
        child.close(force=True)
        stub.close()
    return home / "logs" / "#boats.log"


def weechat(home: Path) -> Path:
    """WeeChat's log of #boats; it is told what to type through its FIFO."""
    stub = Stub()
    home.mkdir(parents=True)
    fifo = home / "fifo"
    commands = [
        f"/set fifo.file.path {fifo}",
        "/set fifo.file.enabled on",
        "/fifo enable",
        "/set irc.server_default.anti_flood_prio_high 0",
        f"/server add stub 127.0.0.1/{stub.port} -nicks=ann -autojoin=#boats",
        "/set irc.server.stub.ssl off",
        "/set irc.server.stub.tls off",
        "/connect stub",
    ]
    arguments = [part for command in commands for part in ("-r", command)]
    child = subprocess.Popen(
        ["weechat-headless", "-d", str(home), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )

    def type_in(text: str) -> None:
        with fifo.open("w") as file:
            file.write(f"irc.stub.#boats *{text}\n")

    try:
        play(stub, type_in)
        type_in("/quit")
        child.wait(timeout=10)
    finally:
        child.kill()
        stub.close()
    (log,) = home.rglob("irc.stub.#boats.weechatlog")
    return log


def znc(home: Path) -> Path:
    """ZNC's log of #boats; its client is a bare socket."""
    stub = Stub()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (home / "configs").mkdir(parents=True)
    (home / "configs" / "znc.conf").write_text(f"""\
Version = 1.8.2
<Listener l>
    Host = 127.0.0.1
    Port = {port}
    IPv4 = true
    IPv6 = false
    SSL = false
</Listener>
<User ann>
    Pass = plain#secret
    Admin = true
    Nick = ann
    Ident = ann
    <Network stub>
        LoadModule = log
        Server = 127.0.0.1 {stub.port}
        FloodRate = 100
        FloodBurst = 100
        <Chan #boats>
        </Chan>
    </Network>
</User>
""")
    other = "nobody" if os.geteuid() == 0 else None  # ZNC makes root wait for half a minute
    for path in (home, home / "configs", home / "configs" / "znc.conf") if other else ():
        shutil.chown(path, other)
    child = subprocess.Popen(
        ["znc", "--foreground", "--datadir", str(home)],
        user=other,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        stub.wait_for("JOIN #")
        stub.heard.put("JOIN #boats")
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"PASS ann/stub:secret\r\nNICK ann\r\nUSER ann 0 * :a\r\n")

            def type_in(text: str) -> None:
                if text.startswith("/nick "):
                    line = f"NICK {text[6:]}"
                elif text.startswith("/me "):
                    line = f"PRIVMSG #boats :\x01ACTION {text[4:]}\x01"
                else:
                    line = f"PRIVMSG #boats :{text}"
                client.sendall(line.encode() + b"\r\n")

            play(stub, type_in)
    finally:
        child.kill()
        child.wait()
        stub.close()
    (log,) = (home / "users").rglob("#boats/*.log")
    return log


CLIENTS = {"irssi": irssi, "weechat-headless": weechat, "znc": znc}
"""Program → what runs it."""

if __name__ == "__main__":
    for program, run in CLIENTS.items():
        with tempfile.TemporaryDirectory() as home:
            Path(home).chmod(0o755)
            log = run(Path(home) / program)
            parent = log.parent.name if log.parent.name.startswith("#") else ""
            folder = Path(sys.argv[1]) / program.removesuffix("-headless") / parent
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, folder)
