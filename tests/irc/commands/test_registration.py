"""Registration: handshakes of known clients word for word, capabilities, passwords, nicks."""

from __future__ import annotations

import pytest
from wire import Connect, Dial, Running, Serve, numerics, play

GREETING = [
    *("001", "002", "003", "004", "005", "005", "251", "252", "253", "254", "255", "265", "266"),
    *("375", "372", "376"),
]


@pytest.mark.parametrize(
    "handshake",
    [
        pytest.param(["NICK anon", "USER anon 0 * :Anon"], id="jaraco, ii"),
        pytest.param(["USER anon 0 * :Anon", "NICK anon"], id="the other way round"),
        pytest.param(
            ["CAP LS 302", "PASS secret", "NICK anon", "USER anon 0 * :realname", "CAP END"],
            id="HexChat",
        ),
        pytest.param(
            [
                "CAP LS 302",
                "JOIN :",
                "CAP REQ :multi-prefix server-time extended-join setname away-notify message-tags",
                "CAP END",
                "NICK anon",
                "USER anon anon localhost :Anon",
            ],
            id="irssi",
        ),
        pytest.param(
            [
                "CAP LS 302",
                "NICK anon",
                "USER anon 0 * :anon",
                "CAP REQ :away-notify extended-join message-tags multi-prefix server-time setname",
                "CAP END",
            ],
            id="WeeChat",
        ),
        pytest.param(
            [
                "CAP LS 302",
                "NICK anon",
                "USER anon 0 * :anon",
                "WHOIS anon",
                "CAP REQ :multi-prefix message-tags echo-message",
                "CAP END",
            ],
            id="pydle",
        ),
    ],
)
def test_handshakes_of_known_clients_are_understood(
    running: Running, handshake: list[str], dial: Dial
) -> None:
    wire = dial(running)
    wire.send(*handshake)
    verbs = numerics(wire.until(" 376 "))
    assert verbs[-len(GREETING) :] == GREETING
    before = verbs[: -len(GREETING)]
    assert before.count("451") == sum(line[:4] in ("JOIN", "WHOI") for line in handshake)
    assert set(before) <= {"CAP", "451"}


def test_a_greeting_word_for_word(running: Running, dial: Dial) -> None:
    play(
        {"anon": dial(running)},
        """
        anon> CAP LS 302
        anon< :relay.localhost CAP * LS :away-notify batch cap-notify ...
        anon> JOIN :
        anon< :relay.localhost 451 * :You have not registered
        anon> CAP REQ :multi-prefix server-time
        anon< :relay.localhost CAP * ACK :multi-prefix server-time
        anon> NICK anon
        anon> USER anon 0 * :Anon Nymous
        anon> CAP END
        anon< :relay.localhost 001 anon :Welcome to the Relay Network, anon!anon@localhost
        anon< :relay.localhost 002 anon :Your host is relay.localhost, running version {version}
        anon< :relay.localhost 003 anon :This server was created ...
        anon< :relay.localhost 004 anon relay.localhost {version} Biow biklmnostv bklov
        anon< :relay.localhost 005 anon AWAYLEN=200 BOT=B CASEMAPPING=ascii CHANLIMIT=#:50 ...
        anon< :relay.localhost 005 anon ...
        anon< :relay.localhost 251 anon :There are 1 users and 0 invisible on 1 servers
        anon< :relay.localhost 252 anon 0 :operator(s) online
        anon< :relay.localhost 253 anon 0 :unknown connection(s)
        anon< :relay.localhost 254 anon 0 :channels formed
        anon< :relay.localhost 255 anon :I have 1 clients and 0 servers
        anon< :relay.localhost 265 anon 1 1 :Current local users 1, max 1
        anon< :relay.localhost 266 anon 1 1 :Current global users 1, max 1
        anon< :relay.localhost 375 anon :- relay.localhost Message of the day -
        anon< :relay.localhost 372 anon :- An IRC server for one person and a few friends.
        anon< :relay.localhost 376 anon :End of MOTD command
        anon> MODE anon +i
        anon< @time={time} :anon!anon@localhost MODE anon +i
        anon> QUIT :bye
        anon< ERROR :Closing link: anon[localhost] (Quit: bye)
        """,
    )


def test_isupport_tells_what_is_supported(running: Running, dial: Dial) -> None:
    wire = dial(running)
    wire.send("NICK anon", "USER anon 0 * :Anon")
    tokens = " ".join(line for line in wire.until(" 376 ") if " 005 " in line)
    wanted = (
        "CASEMAPPING=ascii CHANTYPES=# CHANMODES=b,k,l,imnst PREFIX=(ov)@+ NICKLEN=30 "
        "CHANNELLEN=64 TOPICLEN=300 NETWORK=Relay UTF8ONLY BOT=B CHATHISTORY=100 MONITOR=100"
    )
    assert set(wanted.split()) <= set(tokens.split())


CAPS = (
    "away-notify batch cap-notify draft/chathistory draft/multiline echo-message extended-join "
    "labeled-response message-tags multi-prefix relay-gguf/writing server-time setname "
    "standard-replies "
    "userhost-in-names"
)
LS = ":relay.localhost CAP * LS :" + CAPS
LS_302 = LS.replace("multiline", "multiline=max-bytes=4096,max-lines=24")


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ("CAP LS", LS),
        ("CAP LS 301", LS),
        ("CAP LS 302", LS_302),
        ("CAP LS 307", LS_302),
        ("CAP LS x", LS),
        ("cap ls 302", LS_302),
        ("CAP LIST", ":relay.localhost CAP * LIST :"),
        ("CAP REQ multi-prefix", ":relay.localhost CAP * ACK :multi-prefix"),
        ("CAP REQ :batch  -setname ", ":relay.localhost CAP * ACK :batch  -setname"),
        ("CAP REQ :foo batch", ":relay.localhost CAP * NAK :foo batch"),
        ("CAP REQ :sasl", ":relay.localhost CAP * NAK :sasl"),
        ("CAP REQ :draft/multiline=1", ":relay.localhost CAP * NAK :draft/multiline=1"),
        ("CAP REQ", ":relay.localhost CAP * ACK :"),
        ("CAP FOO", ":relay.localhost 410 * FOO :Invalid CAP command"),
        ("CAP ACK x", ":relay.localhost 410 * ACK :Invalid CAP command"),
        ("CAP :", ":relay.localhost 410 * * :Invalid CAP command"),
        ("CAP", ":relay.localhost 461 * CAP :Not enough parameters"),
    ],
)
def test_cap_is_answered_before_registration(
    running: Running, sent: str, got: str, dial: Dial
) -> None:
    assert dial(running).ask(sent) == [got]


def test_a_cap_request_is_taken_whole_or_not_at_all(running: Running, dial: Dial) -> None:
    wire = dial(running)
    assert wire.ask("CAP REQ :batch foo", "CAP REQ :setname", "CAP LIST") == [
        ":relay.localhost CAP * NAK :batch foo",
        ":relay.localhost CAP * ACK :setname",
        ":relay.localhost CAP * LIST :setname",
    ]


def test_cap_notify_stays_with_302(running: Running, dial: Dial) -> None:
    wire = dial(running)
    wire.ask("CAP LS 302")
    assert wire.ask(
        "CAP LIST", "CAP REQ cap-notify", "CAP REQ -cap-notify", "CAP LS", "CAP LIST"
    ) == [
        ":relay.localhost CAP * LIST :cap-notify",
        ":relay.localhost CAP * ACK :cap-notify",
        ":relay.localhost CAP * NAK :-cap-notify",
        LS,
        ":relay.localhost CAP * LIST :cap-notify",
    ]


def test_cap_notify_can_go_without_302(running: Running, dial: Dial) -> None:
    got = dial(running).ask("CAP REQ cap-notify", "CAP REQ -cap-notify", "CAP LIST")
    assert got[-1] == ":relay.localhost CAP * LIST :"


def test_negotiation_holds_registration_up(running: Running, dial: Dial) -> None:
    wire = dial(running)
    assert wire.ask("CAP REQ batch", "NICK anon", "USER a 0 * :A") == [
        ":relay.localhost CAP * ACK :batch"
    ]
    assert numerics(wire.ask("CAP END")) == GREETING
    assert wire.ask("CAP END", "CAP LIST", "CAP REQ -batch", "CAP LIST") == [
        ":relay.localhost CAP anon LIST :batch",
        ":relay.localhost CAP anon ACK :-batch",
        ":relay.localhost CAP anon LIST :",
    ]


def test_a_wrong_password_ends_the_connection(serve: Serve, dial: Dial) -> None:
    running = serve(password="geheim ü")
    right = dial(running)
    assert numerics(right.ask("PASS :geheim ü", "NICK anon", "USER a 0 * :A")) == GREETING
    for said in (["PASS wrong"], [], ["PASS :geheim ü", "PASS no"]):
        wire = dial(running)
        wire.send(*said, "NICK bob", "USER b 0 * :B", "PASS :geheim ü")
        assert wire.rest() == [
            ":relay.localhost 464 bob :Password incorrect",
            "ERROR :Closing link: bob[localhost] (Password incorrect)",
        ]


def test_nobody_needs_a_password_that_is_not_set(running: Running, dial: Dial) -> None:
    assert numerics(dial(running).ask("PASS x", "NICK a", "USER a 0 * :A")) == GREETING


def test_a_nick_that_is_taken_or_not_allowed_is_refused(
    running: Running, connect: Connect, dial: Dial
) -> None:
    wires = connect(running, "anon")
    wires["bob"] = dial(running)
    play(
        wires,
        """
        bob> NICK
        bob< :relay.localhost 431 * :No nickname given
        bob> NICK 1bob
        bob< :relay.localhost 432 * 1bob :Erroneous nickname
        bob> NICK :bad nick
        bob< :relay.localhost 432 * bad_nick :Erroneous nickname
        bob> NICK ANON
        bob< :relay.localhost 433 * ANON :Nickname is already in use
        bob> NICK bob
        anon> NICK bob
        anon< :relay.localhost 433 anon bob :Nickname is already in use
        anon> NICK Anon
        anon< :anon!anon@localhost NICK Anon
        anon> NICK Anon
        anon> WHOIS bob
        anon< :relay.localhost 401 Anon bob :No such nick
        anon< :relay.localhost 318 Anon bob :End of /WHOIS list
        """,
    )


def test_most_commands_are_refused_before_registration(running: Running, dial: Dial) -> None:
    wire = dial(running)
    for line in ("JOIN #c", "WHOIS anon", "PRIVMSG x :y", "LIST", "FOO", "MODE x +i", "USERS"):
        assert wire.ask(line) == [":relay.localhost 451 * :You have not registered"]
    assert wire.ask("USER a 0 *") == [":relay.localhost 461 * USER :Not enough parameters"]
    assert wire.ask("USER a 0 * :") == [":relay.localhost 461 * USER :Not enough parameters"]
    assert wire.ask("PASS") == [":relay.localhost 461 * PASS :Not enough parameters"]
    assert wire.ask("PING") == [":relay.localhost 409 * :No origin given"]
    assert wire.ask("", "PONG x", ":x", "@y") == []
    wire.send("QUIT")
    assert wire.rest() == ["ERROR :Closing link: *[localhost] (Quit)"]


def test_nobody_registers_twice(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon")
    play(
        wires,
        """
        anon> USER a 0 * :A
        anon< :relay.localhost 462 anon :You may not reregister
        anon> PASS x
        anon< :relay.localhost 462 anon :You may not reregister
        anon> PING :LAG 123
        anon< :relay.localhost PONG relay.localhost :LAG 123
        anon> ping relay.localhost
        anon< :relay.localhost PONG relay.localhost :relay.localhost
        """,
    )
