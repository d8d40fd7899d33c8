"""Each numeric that refuses something."""

from __future__ import annotations

import pytest
from wire import Connect, Dial, Running, Serve

from relay_gguf.irc.network.limits import Limits
from relay_gguf.irc.protocol import numerics

REFUSALS = [
    ("PRIVMSG ghost :x", "401 anon ghost :No such nick"),
    ("WHOIS other.server anon", "402 anon other.server :No such server"),
    ("PRIVMSG #nowhere :x", "403 anon #nowhere :No such channel"),
    ("JOIN nochannel", "403 anon nochannel :No such channel"),
    ("JOIN #a\x02b", "403 anon #a\x02b :No such channel"),
    ("JOIN #", "403 anon # :No such channel"),
    ("PART #nowhere", "403 anon #nowhere :No such channel"),
    ("TOPIC #nowhere", "403 anon #nowhere :No such channel"),
    ("MODE #nowhere", "403 anon #nowhere :No such channel"),
    ("KICK #nowhere bob", "403 anon #nowhere :No such channel"),
    ("PRIVMSG #bobs :x", "404 anon #bobs :Cannot send to channel"),
    ("TAGMSG #bobs", "404 anon #bobs :Cannot send to channel"),
    ("WHOWAS ghost", "406 anon ghost :There was no such nick"),
    ("PRIVMSG a,b,c,d,e :x", "407 anon a,b,c,d,e :Too many targets"),
    ("PING", "409 anon :No origin given"),
    ("CAP FOO", "410 anon FOO :Invalid CAP command"),
    ("PRIVMSG", "411 anon :No recipient given (PRIVMSG)"),
    ("PRIVMSG :", "411 anon :No recipient given (PRIVMSG)"),
    ("PRIVMSG bob", "412 anon :No text to send"),
    ("PRIVMSG bob :", "412 anon :No text to send"),
    ("x" * 511, "417 anon :Input line was too long"),
    ("@" + "t" * 4095 + " PING x", "417 anon :Input line was too long"),
    ("PING " + "x" * 9999, "417 anon :Input line was too long"),
    (f"PRIVMSG bob {'x' * 480}", "417 anon :Input line was too long: 476 bytes of text fit"),
    ("FOO bar", "421 anon FOO :Unknown command"),
    ("foo", "421 anon FOO :Unknown command"),
    ("ADMIN", "423 anon relay.localhost :No administrative info available"),
    ("INFO elsewhere.org", "402 anon elsewhere.org :No such server"),
    ("VERSION elsewhere.org", "402 anon elsewhere.org :No such server"),
    ("KILL bob :x", "481 anon :Permission denied: you're not an IRC operator"),
    ("WALLOPS :x", "481 anon :Permission denied: you're not an IRC operator"),
    ("OPER oper x", "491 anon :This server has no operators: --oper-password"),
    ("MONITOR +", "461 anon MONITOR :Not enough parameters"),
    ("MONITOR + a!b@c", "432 anon a!b@c :Erroneous nickname"),
    ("KICK #mine,#bobs a,b,c", "461 anon KICK :Not enough parameters"),
    ("NICK", "431 anon :No nickname given"),
    ("WHOIS", "431 anon :No nickname given"),
    ("WHOIS :", "431 anon :No nickname given"),
    ("WHOWAS", "431 anon :No nickname given"),
    ("NICK #x", "432 anon #x :Erroneous nickname"),
    ("NICK " + "x" * 31, "432 anon " + "x" * 31 + " :Erroneous nickname"),
    ("NICK bob", "433 anon bob :Nickname is already in use"),
    ("KICK #mine bob", "441 anon bob #mine :They aren't on that channel"),
    ("PART #bobs", "442 anon #bobs :You're not on that channel"),
    ("TOPIC #bobs", "442 anon #bobs :You're not on that channel"),
    ("INVITE bob #bobs", "442 anon #bobs :You're not on that channel"),
    ("INVITE anon #mine", "443 anon anon #mine :is already on channel"),
    ("JOIN", "461 anon JOIN :Not enough parameters"),
    ("JOIN :", "461 anon JOIN :Not enough parameters"),
    ("KICK #mine", "461 anon KICK :Not enough parameters"),
    ("USER a b c :d", "462 anon :You may not reregister"),
    ("PASS x", "462 anon :You may not reregister"),
    ("MODE #mine +Z", "472 anon Z :is unknown mode char to me"),
    ("MODE #bobs +m", "482 anon #bobs :You're not channel operator"),
    ("MODE anon +Z", "501 anon :Unknown MODE flag"),
    ("MODE bob +i", "502 anon :Cannot change mode for other users"),
    ("MODE bob", "502 anon :Cannot change mode for other users"),
    ("MODE ghost", "401 anon ghost :No such nick"),
]


def test_each_error_has_its_numeric_and_text(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon", "bob")
    wires["anon"].ask("JOIN #mine")
    wires["bob"].ask("JOIN #bobs")
    for sent, got in REFUSALS:
        answer = wires["anon"].ask(sent)
        assert answer[:1] == [f":relay.localhost {got}"], sent
        assert len(answer) == (2 if sent == "WHOWAS ghost" else 1), sent
    assert wires["bob"].sync() == []


def test_every_error_has_a_text_and_a_test() -> None:
    errors = {value for name, value in vars(numerics).items() if name.startswith("ERR_")}
    assert errors == set(numerics.ERROR_TEXTS)
    tested = {got[:3] for _, got in REFUSALS}
    elsewhere = {"400", "405", "422", "451", "464", "471", "473", "474", "475", "478", "483", "734"}
    elsewhere |= {"904", "905", "906", "907"}
    assert errors == tested | elsewhere


@pytest.mark.parametrize(
    "line", ["NOTICE", "NOTICE ghost :x", "NOTICE #x :y", "NOTICE bob", "NOTICE bob :"]
)
def test_a_notice_is_never_answered(running: Running, connect: Connect, line: str) -> None:
    wires = connect(running, "anon", "bob")
    assert wires["anon"].ask(line) == []
    assert wires["bob"].sync() == []


def test_text_that_is_not_utf8_is_not_sent(running: Running, connect: Connect) -> None:
    wires = connect(running, "anon", "bob")
    wires["anon"].send_bytes(b"PRIVMSG bob :gr\xfc\xdfe\r\nPRIVMSG bob :gr\xc3\xbc\xc3\x9fe\r\n")
    refusal = "FAIL PRIVMSG INVALID_UTF8 :The message is not UTF-8 and was not sent"
    assert wires["anon"].sync() == [f":relay.localhost {refusal}"]
    assert wires["bob"].sync() == [":anon!anon@localhost PRIVMSG bob :grüße"]


def test_a_client_may_be_in_so_many_channels(serve: Serve, connect: Connect) -> None:
    wires = connect(serve(limits=Limits(channels=2)), "anon")
    got = wires["anon"].ask("JOIN #a,#b,#c")
    assert got[-1] == ":relay.localhost 405 anon #c :You have joined too many channels"


def test_a_channel_may_have_so_many_bans(serve: Serve, connect: Connect) -> None:
    wires = connect(serve(limits=Limits(bans=2)), "anon")
    got = wires["anon"].ask("JOIN #a", "MODE #a +bbbb a b c a")
    assert got[-2:] == [
        ":relay.localhost 478 anon #a c!*@* :Channel ban list is full",
        ":anon!anon@localhost MODE #a +bb a!*@* b!*@*",
    ]


def test_long_texts_are_cut_to_what_was_told(running: Running, connect: Connect) -> None:
    wire = connect(running, "anon")["anon"]
    wire.ask("JOIN #c")
    assert wire.ask(f"TOPIC #c :{'漢' * 120}")[0].endswith(" :" + "漢" * 100)
    wire.ask(f"AWAY :{'x' * 400}")
    away = next(line for line in wire.ask("WHOIS anon") if " 301 " in line)
    assert away.endswith(f" :{'x' * 200}")


def test_names_at_their_limits_leave_room_for_a_topic(running: Running, dial: Dial) -> None:
    wire = dial(running)
    nick, channel = "n" * 30, "#" + "c" * 63
    wire.send(f"NICK {nick}", f"USER {'u' * 99} 0 * :{'r' * 300}")
    wire.until(" 376 ")
    wire.ask(f"JOIN {channel}")
    assert wire.ask(f"TOPIC {channel} :{'t' * 300}") == [
        f":{nick}!{'u' * 20}@localhost TOPIC {channel} :{'t' * 300}"
    ]
    assert wire.ask(f"TOPIC {channel}")[0].endswith("t" * 300)
