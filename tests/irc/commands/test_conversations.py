"""Whole conversations, each as one text: who sends what, who gets what, and nothing else."""

from __future__ import annotations

import pytest
from wire import Connect, Running, play

CONVERSATIONS = {
    "two in a channel": """
        anon> JOIN #c
        anon< :anon!anon@localhost JOIN #c
        anon< :relay.localhost 353 anon = #c :@anon
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        bob> JOIN #C
        bob< :bob!bob@localhost JOIN #c
        bob< :relay.localhost 353 bob = #c :@anon bob
        bob< :relay.localhost 366 bob #c :End of /NAMES list
        anon< :bob!bob@localhost JOIN #c
        anon> PRIVMSG #c :hello, bob
        bob< :anon!anon@localhost PRIVMSG #c :hello, bob
        bob> PRIVMSG #c :\x01ACTION waves\x01
        anon< :bob!bob@localhost PRIVMSG #c :\x01ACTION waves\x01
        bob> NOTICE #c :psst
        anon< :bob!bob@localhost NOTICE #c :psst
        anon> PRIVMSG BOB,#c,bob :twice
        bob< :anon!anon@localhost PRIVMSG bob :twice
        bob< :anon!anon@localhost PRIVMSG #c :twice
        bob< :anon!anon@localhost PRIVMSG bob :twice
        bob> PRIVMSG bob :to myself
        bob< :bob!bob@localhost PRIVMSG bob :to myself
        bob> NICK Robert
        bob< :bob!bob@localhost NICK Robert
        anon< :bob!bob@localhost NICK Robert
        bob> PART #c :off to bed
        bob< :Robert!bob@localhost PART #c :off to bed
        anon< :Robert!bob@localhost PART #c :off to bed
        bob> JOIN #c
        bob< :Robert!bob@localhost JOIN #c
        bob< :relay.localhost 353 Robert = #c :@anon Robert
        bob< :relay.localhost 366 Robert #c :End of /NAMES list
        anon< :Robert!bob@localhost JOIN #c
        bob> QUIT
        bob< ERROR :Closing link: Robert[localhost] (Quit)
        anon< :Robert!bob@localhost QUIT :Quit
        """,
    "topics": """
        anon> JOIN #c
        anon< :anon!anon@localhost JOIN #c
        anon< :relay.localhost 353 anon = #c :@anon
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        anon> TOPIC #c
        anon< :relay.localhost 331 anon #c :No topic is set
        anon> TOPIC #c :The \x02harbour\x02\x07 at night
        anon< :anon!anon@localhost TOPIC #c :The \x02harbour\x02 at night
        anon> TOPIC #c
        anon< :relay.localhost 332 anon #c :The \x02harbour\x02 at night
        anon< :relay.localhost 333 anon #c anon!anon@localhost {time}
        bob> JOIN #c
        bob< :bob!bob@localhost JOIN #c
        bob< :relay.localhost 332 bob #c :The \x02harbour\x02 at night
        bob< :relay.localhost 333 bob #c anon!anon@localhost {time}
        bob< :relay.localhost 353 bob = #c :@anon bob
        bob< :relay.localhost 366 bob #c :End of /NAMES list
        anon< :bob!bob@localhost JOIN #c
        bob> TOPIC #c :mine
        bob< :relay.localhost 482 bob #c :You're not channel operator
        anon> MODE #c -t
        anon< :anon!anon@localhost MODE #c -t
        bob< :anon!anon@localhost MODE #c -t
        bob> TOPIC #c :
        bob< :bob!bob@localhost TOPIC #c :
        anon< :bob!bob@localhost TOPIC #c :
        anon> TOPIC #c
        anon< :relay.localhost 331 anon #c :No topic is set
        """,
    "several channels": """
        anon> JOIN #a,#b,,#a key1,key2,key3
        anon< :anon!anon@localhost JOIN #a
        anon< :relay.localhost 353 anon = #a :@anon
        anon< :relay.localhost 366 anon #a :End of /NAMES list
        anon< :anon!anon@localhost JOIN #b
        anon< :relay.localhost 353 anon = #b :@anon
        anon< :relay.localhost 366 anon #b :End of /NAMES list
        anon> PART #a,#x,#b
        anon< :anon!anon@localhost PART #a
        anon< :relay.localhost 403 anon #x :No such channel
        anon< :anon!anon@localhost PART #b
        anon> JOIN #a
        anon< :anon!anon@localhost JOIN #a
        anon< :relay.localhost 353 anon = #a :@anon
        anon< :relay.localhost 366 anon #a :End of /NAMES list
        anon> JOIN 0
        anon< :anon!anon@localhost PART #a
        anon> LIST
        anon< :relay.localhost 321 anon Channel :Users  Name
        anon< :relay.localhost 323 anon :End of /LIST
        """,
    "what irssi, WeeChat and HexChat ask after a join": """
        anon> JOIN #c
        anon< :anon!anon@localhost JOIN #c
        anon< :relay.localhost 353 anon = #c :@anon
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        anon> MODE #c
        anon< :relay.localhost 324 anon #c +nt
        anon< :relay.localhost 329 anon #c {time}
        anon> WHO #c
        anon< :relay.localhost 352 anon #c anon localhost relay.localhost anon H@ :0 Anon
        anon< :relay.localhost 315 anon #c :End of /WHO list
        anon> MODE #c b
        anon< :relay.localhost 368 anon #c :End of channel ban list
        anon> MODE #c +b
        anon< :relay.localhost 368 anon #c :End of channel ban list
        anon> WHO #c %tcuhnfar
        anon< :relay.localhost 352 anon #c anon localhost relay.localhost anon H@ :0 Anon
        anon< :relay.localhost 315 anon #c :End of /WHO list
        anon> MODE anon +i
        anon< :anon!anon@localhost MODE anon +i
        anon> MODE anon
        anon< :relay.localhost 221 anon +i
        anon> WHOIS anon
        anon< :relay.localhost 311 anon anon anon localhost * :Anon
        anon< :relay.localhost 319 anon anon :@#c
        anon< :relay.localhost 312 anon anon relay.localhost :Relay
        anon< :relay.localhost 317 anon anon {idle} {signon} :seconds idle, signon time
        anon< :relay.localhost 318 anon anon :End of /WHOIS list
        """,
    "modes": """
        anon> JOIN #c
        anon< :anon!anon@localhost JOIN #c
        anon< :relay.localhost 353 anon = #c :@anon
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        bob> MODE #c +m
        bob< :relay.localhost 482 bob #c :You're not channel operator
        bob> JOIN #c
        bob< :bob!bob@localhost JOIN #c
        bob< :relay.localhost 353 bob = #c :@anon bob
        bob< :relay.localhost 366 bob #c :End of /NAMES list
        anon< :bob!bob@localhost JOIN #c
        bob> MODE #c +mo bob
        bob< :relay.localhost 482 bob #c :You're not channel operator
        anon> MODE #c +mv-n bob
        anon< :anon!anon@localhost MODE #c +mv-n bob
        bob< :anon!anon@localhost MODE #c +mv-n bob
        anon> MODE #c
        anon< :relay.localhost 324 anon #c +mt
        anon< :relay.localhost 329 anon #c {time}
        anon> MODE #c +klb-v+z secret 5 *!*@evil bob
        anon< :relay.localhost 472 anon z :is unknown mode char to me
        anon< :anon!anon@localhost MODE #c +klb-v secret 5 *!*@evil bob
        bob< :anon!anon@localhost MODE #c +klb-v secret 5 *!*@evil bob
        anon> MODE #c
        anon< :relay.localhost 324 anon #c +mtkl secret 5
        anon< :relay.localhost 329 anon #c {time}
        bob> PRIVMSG #c :hi
        bob< :relay.localhost 404 bob #c :Cannot send to channel
        bob> MODE #c b
        bob< :relay.localhost 367 bob #c *!*@evil anon!anon@localhost {time}
        bob< :relay.localhost 368 bob #c :End of channel ban list
        anon> MODE #c -lkb+o x *!*@evil bob
        anon< :anon!anon@localhost MODE #c -lkb+o * *!*@evil bob
        bob< :anon!anon@localhost MODE #c -lkb+o * *!*@evil bob
        anon> MODE #c +o ghost
        anon< :relay.localhost 401 anon ghost :No such nick
        anon> MODE #c +o carl
        anon< :relay.localhost 441 anon carl #c :They aren't on that channel
        anon> MODE #c +ol
        anon> MODE #c +l none
        anon> MODE #c -l+k-k
        anon> MODE #c +o-v bob bob
        anon> MODE #c -m+m
        anon< :anon!anon@localhost MODE #c -m+m
        bob< :anon!anon@localhost MODE #c -m+m
        """,
    "kicking and inviting": """
        anon> JOIN #c
        anon< :anon!anon@localhost JOIN #c
        anon< :relay.localhost 353 anon = #c :@anon
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        anon> MODE #c +i
        anon< :anon!anon@localhost MODE #c +i
        bob> JOIN #c
        bob< :relay.localhost 473 bob #c :Cannot join channel (+i)
        bob> INVITE carl #c
        bob< :relay.localhost 442 bob #c :You're not on that channel
        anon> INVITE bob #c
        anon< :relay.localhost 341 anon bob #c
        bob< :anon!anon@localhost INVITE bob #c
        bob> JOIN #c
        bob< :bob!bob@localhost JOIN #c
        bob< :relay.localhost 353 bob = #c :@anon bob
        bob< :relay.localhost 366 bob #c :End of /NAMES list
        anon< :bob!bob@localhost JOIN #c
        bob> INVITE carl #c
        bob< :relay.localhost 482 bob #c :You're not channel operator
        anon> INVITE bob #c
        anon< :relay.localhost 443 anon bob #c :is already on channel
        anon> INVITE ghost #c
        anon< :relay.localhost 401 anon ghost :No such nick
        bob> KICK #c anon
        bob< :relay.localhost 482 bob #c :You're not channel operator
        anon> KICK #c carl
        anon< :relay.localhost 441 anon carl #c :They aren't on that channel
        anon> KICK #c bob :go
        anon< :anon!anon@localhost KICK #c bob :go
        bob< :anon!anon@localhost KICK #c bob :go
        bob> PRIVMSG #c :still here?
        bob< :relay.localhost 404 bob #c :Cannot send to channel
        anon> MODE #c -i+b bob
        anon< :anon!anon@localhost MODE #c -i+b bob!*@*
        bob> JOIN #c
        bob< :relay.localhost 474 bob #c :Cannot join channel (+b)
        anon> MODE #c -b+k bob secret
        anon< :anon!anon@localhost MODE #c -b+k bob!*@* secret
        bob> JOIN #c wrong
        bob< :relay.localhost 475 bob #c :Cannot join channel (+k)
        anon> MODE #c -k+l * 1
        anon< :anon!anon@localhost MODE #c -k+l * 1
        bob> JOIN #c
        bob< :relay.localhost 471 bob #c :Cannot join channel (+l)
        """,
}


@pytest.mark.parametrize("script", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_a_conversation_goes_as_written(running: Running, connect: Connect, script: str) -> None:
    play(connect(running, "anon", "bob", "carl"), script)


ALL = "away-notify batch echo-message extended-join message-tags multi-prefix server-time setname"

WITH_CAPABILITIES = {
    "all of them": """
        anon> JOIN #c
        anon< @time={time} :anon!anon@localhost JOIN #c * :Anon
        anon< :relay.localhost 353 anon = #c :@anon
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        plain> JOIN #c
        plain< :plain!plain@localhost JOIN #c
        plain< :relay.localhost 353 plain = #c :@anon plain
        plain< :relay.localhost 366 plain #c :End of /NAMES list
        anon< @time={time} :plain!plain@localhost JOIN #c * :Plain
        anon> @+draft/reply=1\\:2;fizz=buzz PRIVMSG #c :hi
        anon< @time={time};msgid={id};+draft/reply=1\\:2 :anon!anon@localhost PRIVMSG #c :hi
        plain< :anon!anon@localhost PRIVMSG #c :hi
        anon> @+typing=active TAGMSG #c
        anon< @time={time};msgid={id};+typing=active :anon!anon@localhost TAGMSG #c
        plain> @+typing=active TAGMSG #c
        anon< @time={time};msgid={id};+typing=active :plain!plain@localhost TAGMSG #c
        plain> AWAY :asleep
        plain< :relay.localhost 306 plain :You have been marked as being away
        anon< @time={time} :plain!plain@localhost AWAY :asleep
        plain> AWAY
        plain< :relay.localhost 305 plain :You are no longer marked as being away
        anon< @time={time} :plain!plain@localhost AWAY
        plain> SETNAME :Plain Jane
        anon< @time={time} :plain!plain@localhost SETNAME :Plain Jane
        anon> MODE #c +v anon
        anon< @time={time} :anon!anon@localhost MODE #c +v anon
        plain< :anon!anon@localhost MODE #c +v anon
        anon> NAMES #c
        anon< :relay.localhost 353 anon = #c :@+anon plain
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        plain> NAMES #c
        plain< :relay.localhost 353 plain = #c :@anon plain
        plain< :relay.localhost 366 plain #c :End of /NAMES list
        anon> MODE anon +B
        anon< @time={time};bot :anon!anon@localhost MODE anon +B
        anon> PRIVMSG #c :beep
        anon< @time={time};bot;msgid={id} :anon!anon@localhost PRIVMSG #c :beep
        plain< :anon!anon@localhost PRIVMSG #c :beep
        anon> PRIVMSG plain :psst
        anon< @time={time};bot;msgid={id} :anon!anon@localhost PRIVMSG plain :psst
        plain< :anon!anon@localhost PRIVMSG plain :psst
        anon> TAGMSG
        anon< :relay.localhost 411 anon :No recipient given (TAGMSG)
        anon> SETNAME :
        anon< :relay.localhost FAIL SETNAME INVALID_REALNAME :Realname is not valid
        """,
}


@pytest.mark.parametrize("script", WITH_CAPABILITIES.values(), ids=WITH_CAPABILITIES.keys())
def test_a_conversation_with_capabilities_goes_as_written(
    running: Running, connect: Connect, script: str
) -> None:
    wires = {**connect(running, "anon", caps=ALL), **connect(running, "plain")}
    play(wires, script)


def test_names_have_hosts_with_userhost_in_names(running: Running, connect: Connect) -> None:
    play(
        connect(running, "anon", caps="userhost-in-names"),
        """
        anon> JOIN #c
        anon< :anon!anon@localhost JOIN #c
        anon< :relay.localhost 353 anon = #c :@anon!anon@localhost
        anon< :relay.localhost 366 anon #c :End of /NAMES list
        """,
    )


def test_long_lists_of_names_take_several_lines(running: Running, connect: Connect) -> None:
    nicks = [f"{'n' * 26}{n:02d}" for n in range(40)]
    wires = connect(running, *nicks)
    for nick in nicks:
        wires[nick].ask("JOIN #c")
    names = [line for line in wires[nicks[0]].ask("NAMES #c") if " 353 " in line]
    assert len(names) == 3
    found = [nick for line in names for nick in line.split(" :")[1].split()]
    assert found == [f"@{nicks[0]}", *nicks[1:]]
    wires[nicks[0]].ask(*(f"JOIN #{'c' * 50}{n}" for n in range(30)))
    whois = [line for line in wires[nicks[1]].ask(f"WHOIS {nicks[0]}") if " 319 " in line]
    assert sum(line.count("#") for line in whois) == 31
