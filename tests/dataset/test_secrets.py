"""What is kept out of a data set, and what is harmless."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest
from dataset.chats import made, scene

from relay_gguf.dataset.rules import detectors
from relay_gguf.dataset.secrets import Secrets, is_service, secret
from relay_gguf.dataset.tally import Tally

HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

SECRETS = {
    "passwords": [
        "/msg nickserv identify hunter2",
        "/msg NickServ@services.example identify hunter2",
        " /msg nickserv identify hunter2",
        "msg nickserv identify hunter2",
        "/ns identify hunter2",
        "/nickserv ghost ann hunter2",
        "ns identify hunter2",
        "nickserv register hunter2 ann@example.org",
        "identify hunter2",
        "IDENTIFY ann hunter2",
        "/identify hunter2",
        "//identify hunter2",
        "!login ann hunter2",
        "/oper ann hunter2",
        "/quote PASS hunter2",
        "/msg Q@CServe.quakenet.org AUTH ann hunter2",
        "/msg x@channels.undernet.org login ann hunter2",
        "/msg *status help",
        "AUTH ann hunter2",
        "login ann hunter2",
        "/pass hunter2",
        "ghost ann hunter2",
        "set password hunter2",
        "my password is hunter2",
        "password: hunter2",
        "pw = hunter2",
        "DB_PASSWORD=hunter22",
        "api_key: abcdef123456",
        "ann@example.org:hunter2",
        "ann@example.org hunter2",
        "use https://ann:hunter2@example.org/",
        "DB_PASS=supergeheim",
        "curl -u ann:hunter2 https://example.org",
        "my password for the wifi is hunter2",
        "the password is p@ssw0rd",
        "my password is swordfish",
        "use hunter2 as password",
        "mein Passwort ist geheim123",
        "mot de passe : bateau2000",
        "мой пароль qwerty123",
        "密码是abc12345",
        "the door code is 4821",
        "creds are admin/Winter2023!",
        "/join #secret letmein2",
    ],
    "keys": [
        "sk-proj-abcdefghijklmnopqrstuvwx1234",
        "here: ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0123456789abcdef",
        "xoxb-123456789012-abcdefghijkl",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "hf_abcdefghijklmnopqrstuvwx",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
        "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
        "Authorization: Bearer abcdefghijklmnop1234",
        "-----BEGIN RSA PRIVATE KEY-----",
        f"the hash is {HEX}",
        f"S{'G.aB3dE5gH7jK9mN1pQ2rS4t.aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2bC4dE6fG8h'}",
        f"https://hooks.slack.{'com/services/TAAAAAAAA/BBBBBBBBB/aB3dE5gH7jK9mN1pQ2rS4t9x'}",
        f"https://discord.{'com/api/webhooks/123456789012345678/aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0'}",
        f"A{'C' + HEX[:32]}",
        f"{HEX[:32]}-{'us14'}",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY9",
    ],
    "accounts": [
        "DE89 3704 0044 0532 0130 00",
        "gb82west12345698765432 please",
        "sort code 20-00-00",
    ],
    "identities": [
        "my ssn is 078-05-1120",
        "219-09-9999",
        "cpf 529.982.247-25",
        "12345678Z",
        "RSSMRA85T10A562S",
        "2 55 08 14 168 025 38",
    ],
    "cards": ["4111 1111 1111 1111", "card 5500-0000-0000-0004 ok?", "378282246310005"],
    "addresses": [
        "ssh to 8.8.8.8",
        "it is 2606:4700:4700::1111 now",
        "ban bob!~b@host.example",
        "*!*@host.example",
        "(~b@host.example) ist da",
        "bob!~b@host.example is ann@example.org",
    ],
    "emails": [
        "mail me: ann@example.org",
        "<ann.lee+irc@mail.example.co.uk>, ok?",
        "it was Ann@EXAMPLE.ORG.",
        "ann@bücher.example",
        "mailto:ann_1@ex-ample.org?subject=hi",
    ],
    "phones": [
        "call +491234567 0",
        "call me: +49 30 1234567",
        "(+1 (555) 123-4567)",
        "+1-(555)-123-4567",
        "tel:+442079460958.",
        "+33.1.23.45.67.89!",
        "+49 (0) 30 - 1234567",
        "+(49)30 12345678 5 pm",
        "call me at 415-555-2671",
        "(415) 555-2671",
        "call 4155552671",
        "0151 23456789",
        "0049 151 2345 6789",
        "01.42.68.53.00",
        "11 91234-5678 zap",
    ],
}
HARMLESS = [
    "hello there",
    "pass me the salt please",
    "i have to register a car tomorrow",
    "the ghost of christmas past is here",
    "login is broken again for me",
    "what a password policy",
    "localhost is 127.0.0.1, the router 192.168.1.1",
    "version 1.2.3 of 12:30:45",
    "std::vector<int> a::b",
    "call me at 1234 5678",
    "1234567890123456",
    "in 2023 we had 1000000000000 visits",
    "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    "https://github.com/danlou/relay/blob/main/relaylm.py",
    "https://example.org/2023/11/15/A-Very-Long-Title-That-Goes-On-And-On-2023",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "hahahahahahahahahahahahahahahahahaha",
    "x@y",
    "root@localhost, ann@boats hi",
    "@ann hi, @bob.lee too",
    "react@18.2.0 and vue@3.4",
    "lol@ann...ok",
    "+1.2.3 is out, 1.2.3+20231115 too",
    "+10 -3",
    "+100 -200 -300 +400",
    "in UTC+0100, or +01:00",
    "c++20231115",
    "+1234567 is short, +1234567890123456 long",
    "what's the key to a good stew?",
    "wow! @ann look",
    "my password is wrong",
    "the password is too short",
    "password is required",
    "that is the password they told me to change",
    "das passwort ist falsch",
    "pass 2 of the compiler is slow",
    "login works for me",
    "git@github.com:example/boats.git",
    f"fixed in commit {HEX[:40]}",
    f"sha256:{HEX}",
    "<@112233445566778899> and <:boat:998877665544332211>",
    "thisIsAVeryLongCamelCaseIdentifier2Name",
    "order number 302-4418723-9912304",
    "4155552671",
    "ISBN 0-306-40615-2",
    "06.12.1984",
    "0.16.999.70492-2",
    "max_tokens=4096000",
    "GB83 WEST 1234 5698 7654 32",
    "12345678A",
]


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
