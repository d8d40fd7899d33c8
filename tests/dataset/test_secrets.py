"""What is kept out of a data set, and what is harmless."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from dataset.chats import made, scene

from relay_gguf.dataset.secrets import is_service, secret
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
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY9",
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
    ],
)
def test_no_line_takes_long(part: str) -> None:
    start = time.process_time()
    secret((part * 60_000)[:60_000])
    assert time.process_time() - start < 0.5


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
