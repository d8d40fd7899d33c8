"""What clients ask a server, line by line: who is here, lists, the server itself."""

from __future__ import annotations

import pytest
from wire import Connect, Running, play

CONVERSATIONS = {
    "away": """
        bob> AWAY :asleep
        bob< :relay.localhost 306 bob :You have been marked as being away
        anon> PRIVMSG bob :hi
        anon< :relay.localhost 301 anon bob :asleep
        bob< :anon!anon@localhost PRIVMSG bob :hi
        anon> NOTICE bob :hi
        bob< :anon!anon@localhost NOTICE bob :hi
        anon> WHOIS localhost bob
        anon< :relay.localhost 402 anon localhost :No such server
        """,
    "who is here": """
        anon> ISON ghost bob :anon bob
        anon< :relay.localhost 303 anon :bob anon
        bob> AWAY :asleep
        bob< :relay.localhost 306 bob :You have been marked as being away
        anon> USERHOST bob anon ghost
        anon< :relay.localhost 302 anon :bob=-bob@localhost anon=+anon@localhost
        anon> WHOIS relay.localhost bob
        anon< :relay.localhost 311 anon bob bob localhost * :Bob
        anon< :relay.localhost 312 anon bob relay.localhost :Relay
        anon< :relay.localhost 301 anon bob :asleep
        anon< :relay.localhost 317 anon bob {idle} {signon} :seconds idle, signon time
        anon< :relay.localhost 318 anon bob :End of /WHOIS list
        bob> AWAY
        bob< :relay.localhost 305 bob :You are no longer marked as being away
        bob> MODE bob +iB
        bob< :bob!bob@localhost MODE bob +iB
        anon> WHO *
        anon< :relay.localhost 352 anon * {user} localhost relay.localhost {nick} H :0 ...
        anon< :relay.localhost 352 anon * {user} localhost relay.localhost {nick} H :0 ...
        anon< :relay.localhost 315 anon * :End of /WHO list
        anon> WHO b?b
        anon< :relay.localhost 315 anon b?b :End of /WHO list
        anon> WHO bob
        anon< :relay.localhost 352 anon * bob localhost relay.localhost bob HB :0 Bob
        anon< :relay.localhost 315 anon bob :End of /WHO list
        anon> WHO carl o
        anon< :relay.localhost 315 anon carl :End of /WHO list
        anon> WHO #nowhere
        anon< :relay.localhost 315 anon #nowhere :End of /WHO list
        anon> WHOIS bob
        anon< :relay.localhost 311 anon bob bob localhost * :Bob
        anon< :relay.localhost 312 anon bob relay.localhost :Relay
        anon< :relay.localhost 335 anon bob :is a bot on Relay
        anon< :relay.localhost 317 anon bob {idle} {signon} :seconds idle, signon time
        anon< :relay.localhost 318 anon bob :End of /WHOIS list
        anon> WHOWAS ghost
        anon< :relay.localhost 406 anon ghost :There was no such nick
        anon< :relay.localhost 369 anon ghost :End of WHOWAS
        anon> LUSERS
        anon< :relay.localhost 251 anon :There are 2 users and 1 invisible on 1 servers
        anon< :relay.localhost 252 anon 0 :operator(s) online
        anon< :relay.localhost 253 anon 0 :unknown connection(s)
        anon< :relay.localhost 254 anon 0 :channels formed
        anon< :relay.localhost 255 anon :I have 3 clients and 0 servers
        anon< :relay.localhost 265 anon 3 3 :Current local users 3, max 3
        anon< :relay.localhost 266 anon 3 3 :Current global users 3, max 3
        """,
    "lists": """
        anon> JOIN #harbour
        anon< :anon!anon@localhost JOIN #harbour
        anon< :relay.localhost 353 anon = #harbour :@anon
        anon< :relay.localhost 366 anon #harbour :End of /NAMES list
        anon> TOPIC #harbour :Sardines
        anon< :anon!anon@localhost TOPIC #harbour :Sardines
        bob> LIST
        bob< :relay.localhost 321 bob Channel :Users  Name
        bob< :relay.localhost 322 bob #harbour 1 :Sardines
        bob< :relay.localhost 323 bob :End of /LIST
        bob> LIST #nowhere,#HARBOUR
        bob< :relay.localhost 321 bob Channel :Users  Name
        bob< :relay.localhost 322 bob #harbour 1 :Sardines
        bob< :relay.localhost 323 bob :End of /LIST
        bob> LIST *bour,>0,<2
        bob< :relay.localhost 321 bob Channel :Users  Name
        bob< :relay.localhost 322 bob #harbour 1 :Sardines
        bob< :relay.localhost 323 bob :End of /LIST
        bob> LIST !*bour
        bob< :relay.localhost 321 bob Channel :Users  Name
        bob< :relay.localhost 323 bob :End of /LIST
        bob> LIST >1
        bob< :relay.localhost 321 bob Channel :Users  Name
        bob< :relay.localhost 323 bob :End of /LIST
        bob> NAMES #harbour,#nowhere
        bob< :relay.localhost 353 bob = #harbour :@anon
        bob< :relay.localhost 366 bob #harbour,#nowhere :End of /NAMES list
        bob> NAMES odd
        bob< :relay.localhost 366 bob odd :End of /NAMES list
        bob> NAMES
        bob< :relay.localhost 353 bob = #harbour :@anon
        bob< :relay.localhost 366 bob * :End of /NAMES list
        """,
    "what the server says of itself": """
        anon> VERSION
        anon< :relay.localhost 351 anon {version} relay.localhost :Relay turns ...
        anon< :relay.localhost 005 anon ...
        anon< :relay.localhost 005 anon ...
        anon> TIME
        anon< :relay.localhost 391 anon relay.localhost :...
        anon> INFO
        anon< :relay.localhost 371 anon :...
        anon< :relay.localhost 371 anon :https://...
        anon< :relay.localhost 374 anon :End of INFO list
        anon> ADMIN
        anon< :relay.localhost 423 anon relay.localhost :No administrative info available
        anon> MOTD
        anon< :relay.localhost 375 anon :- relay.localhost Message of the day -
        anon< :relay.localhost 372 anon :- ...
        anon< :relay.localhost 376 anon :End of MOTD command
        """,
}


@pytest.mark.parametrize("script", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
def test_a_question_is_answered_as_written(running: Running, connect: Connect, script: str) -> None:
    play(connect(running, "anon", "bob", "carl"), script)
