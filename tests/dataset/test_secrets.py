"""What is kept out of a data set, and what is harmless."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest
from dataset.chats import made, scene
from dataset.secret_messages import HARMLESS, HEX, SECRETS

from relay_gguf.dataset.rules import detectors
from relay_gguf.dataset.secrets import Secrets, is_service, secret
from relay_gguf.dataset.tally import Tally


@pytest.mark.parametrize(
    ("kind", "text"), [(k, text) for k, texts in SECRETS.items() for text in texts]
)
def test_a_message_with_a_secret_is_found(kind: str, text: str) -> None:
    assert secret(text) == kind


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_message_is_kept(text: str) -> None:
    assert secret(text) is None


@pytest.mark.parametrize("nick", ["NickServ", "chanserv", "Q", "X", "AuthServ", "*status", "*log"])
def test_services_are_known_by_their_nicks(nick: str) -> None:
    assert is_service(nick)
    assert not is_service(nick.lower().strip("*sq") + "ann")


@pytest.mark.parametrize(
    "part",
    [
        "y",
        "7",
        "a@",
        "a@b.",
        " ",
        "/",
        "/ ",
        "eyJ-",
        ":",
        "f:",
        "://a:",
        "a!b@",
        "1 ",
        "x=",
        "pass ",
        "A1",
        "b@a.",
        "a.",
        "+1",
        "+1 ",
        "+(",
        "1 - ",
        "(1",
        "(!",
        "token_",
        "api_key",
        "password ",
        "password is ",
        "code ",
        "use admin:",
        "login ",
        "a at b dot ",
        "0151 ",
        "call 030 ",
        "DE89 ",
        "sk-",
        "//:_authToken=",
        "key  ",
        "pw '",
        "123-45-",
        "AB12C-",
    ],
)
def test_no_line_takes_long(part: str) -> None:
    """By the square of its length, a line of 20 KB took 5 s; none takes a tenth of that."""
    text = (part * 20_000)[:20_000]
    start = time.process_time()
    secret(text)
    assert time.process_time() - start < 2


def test_they_do_not_come_out_and_are_counted(tmp_path: Path) -> None:
    log = f"""\
12:00 -!- bob [~b@198.51.100.9] has joined #boats
12:00 -!- bob changed the topic of #boats to: token={HEX}
12:00 <bob> hi
12:00 <ann> /msg nickserv identify hunter2
12:00 <ann> ouch, ignore that
12:00 <NickServ> you are now identified
12:00 -NickServ(ns@services)- Password accepted
12:00 <bob> -----BEGIN OPENSSH PRIVATE KEY-----
12:00 <bob> b3BlbnNzaC1rZXktdjEAAAAA
12:00 <ann> not here!
12:00 <bob> bm9uZQAAAAAAAAABAAAA
12:00 <bob> -----END OPENSSH PRIVATE KEY-----
12:00  * bob pays with 4111 1111 1111 1111
12:00 <bob> or write to bob@example.org
12:00 <bob> or call +49 30 1234567
12:01 <bob> sorry
12:01 <ann> change it
"""
    tally = Tally()
    assert made(tmp_path, log, tally=tally) == [
        scene("anon")
        + "anon: hi\nuser: ouch, ignore that\nuser: not here!\nanon: sorry\nuser: change it\n"
    ]
    assert tally.secrets == {"passwords": 2, "services": 2, "keys": 4, "cards": 1} | {
        "emails": 1,
        "phones": 1,
    }
    (row,) = (line for line in tally.table(exact=True) if "secrets" in line)
    assert row.endswith("11  services 2, passwords 2, keys 4, cards 1, emails 1, phones 1")


@pytest.mark.parametrize(
    "name", ["nickserv.log", "irc.net.nickserv.weechatlog", "*status.log", "Q.log"]
)
def test_a_talk_with_a_service_is_left_out(name: str, tmp_path: Path) -> None:
    tally = Tally()
    assert (
        made(tmp_path, "12:00 <ann> help me\n12:00 <ann> hunter2\n", name=name, tally=tally) == []
    )
    assert tally.secrets == {"services": 2}


@pytest.mark.parametrize("answer", ["hunter2", "try hunter2 :)", "it's hunter2", "hunter2!"])
def test_the_answer_to_whoever_asks_for_a_password_is_one(answer: str) -> None:
    secrets = Secrets("#boats")
    lines = ["hi2u", "what's the wifi password?", "bob22, wait", answer, "thx", "ok", "hm", answer]
    left_out = [secrets.has("bob", line) for line in lines]
    assert left_out == [False, False, False, True, False, False, False, False]


def test_keys_are_looked_for_here_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library could ask services whether a key works, and read settings: it does neither."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert detectors.knows(f"A{'KIAIOSFODNN7EXAMPLE'}")


def test_patterns_are_those_of_every_python_we_support() -> None:
    """Python 3.10 knows no possessive quantifier, and the filter did not load there."""
    rules = Path(detectors.__file__).parent
    for path in rules.glob("*.py"):
        assert not re.search(r"[\w\])*+?}][*+?}]\+", path.read_text("utf-8")), path
