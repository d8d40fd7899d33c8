"""Each client's log, and each kind of its lines."""

from __future__ import annotations

LOGS = {
    "irssi": """\
--- Log opened Wed Nov 15 23:58:00 2023
23:58 -!- ann [~ann@203.0.113.7] has joined #boats
23:58 -!- Topic for #boats: sails
23:58 -!- Topic set by bob [~b@198.51.100.9] [Tue Nov 14 22:13:20 2023]
23:58 [Users #boats]
23:58 [@bob] [ ann] [ carol]
23:58 -!- Irssi: #boats: Total of 3 nicks [1 ops, 0 halfops, 0 voices, 2 normal]
23:58 -!- Irssi: Join to #boats was synced in 2 secs
23:58 -!- mode/#boats [+v carol] by bob
23:58 <@bob> ann: ahoy
23:59 < ann> hello there
--- Day changed Thu Nov 16 2023
00:00  * carol waves
00:00 -bob:#boats- read the rules
00:00 < ann> good morning
00:01 -!- bob changed the topic of #boats to: oars
00:01 -!- You're now known as ann_
00:02 <@bob> well?
00:02 < ann_> well
00:02 -!- carol [~c@host.example] has quit [Ping timeout: 240 seconds]
00:02 -!- ann_ was kicked from #boats by bob [enough]
--- Log closed Thu Nov 16 00:03:00 2023
""",
    "weechat": """\
2023-11-15 23:58:00\t-->\tann (~ann@203.0.113.7) has joined #boats
2023-11-15 23:58:00\t--\tTopic for #boats is "sails"
2023-11-15 23:58:00\t--\tTopic set by bob (~b@198.51.100.9) on Tue, 14 Nov 2023 22:13:20
2023-11-15 23:58:00\t--\tChannel #boats: 3 nicks (1 op, 0 voices, 2 normals)
2023-11-15 23:58:00\t--\tMode #boats [+v carol] by bob
2023-11-15 23:58:30\t@bob\tann: ahoy
2023-11-15 23:59:00\tann\thello there
2023-11-16 00:00:00\t *\tcarol waves
2023-11-16 00:00:10\t--\tNotice(bob): read the rules
2023-11-16 00:00:20\tann\tgood morning
2023-11-16 00:01:00\t--\tbob has changed topic for #boats from "sails" to "oars"
2023-11-16 00:01:10\t--\tYou are now known as ann_
2023-11-16 00:02:00\t@bob\twell?
2023-11-16 00:02:10\tann_\twell
2023-11-16 00:02:20\t<--\tcarol (~c@host.example) has quit (Ping timeout: 240 seconds)
2023-11-16 00:02:30\t<--\tbob has kicked ann_ (enough)
""",
    "hexchat": """\
**** BEGIN LOGGING AT Wed Nov 15 23:58:00 2023

Nov 15 23:58:00 *\tNow talking on #boats
Nov 15 23:58:00 *\tTopic for #boats is: sails
Nov 15 23:58:00 *\tTopic for #boats set by bob!~b@198.51.100.9 (Tue Nov 14 22:13:20 2023)
Nov 15 23:58:00 *\tbob gives voice to carol
Nov 15 23:58:30 *\tann (~ann@203.0.113.7) has joined
Nov 15 23:58:30 <bob>\tann: ahoy
Nov 15 23:59:00 <ann>\thello there
Nov 16 00:00:00 *\tcarol waves
Nov 16 00:00:10 -bob-\tread the rules
Nov 16 00:00:20 <ann>\tgood morning
Nov 16 00:01:00 *\tbob has changed the topic to: oars
Nov 16 00:01:10 *\tann is now known as ann_
Nov 16 00:02:00 <@bob>\twell?
Nov 16 00:02:10 <ann_>\twell
Nov 16 00:02:20 *\tcarol has quit (Ping timeout: 240 seconds)
Nov 16 00:02:30 *\tbob has kicked ann_ from #boats (enough)
**** ENDING LOGGING AT Thu Nov 16 00:03:00 2023

""",
    "energymech": """\
[23:58:00] *** Joins: ann (~ann@203.0.113.7)
[23:58:00] *** bob changes topic to 'sails'
[23:58:00] *** bob sets mode: +v carol
[23:58:30] <bob> ann: ahoy
[23:59:00] <ann> hello there
[00:00:00] * carol waves
[00:00:10] -bob- read the rules
[00:00:20] <ann> good morning
[00:01:00] *** bob changes topic to 'oars'
[00:01:10] *** ann is now known as ann_
[00:02:00] <bob> well?
[00:02:10] <ann_> well
[00:02:20] *** Quits: carol (~c@host.example) (Ping timeout: 240 seconds)
[00:02:30] *** ann_ was kicked by bob (enough)
""",
}
LINES = {
    "irssi": [
        ("12:00 <bob> <b> is a tag", ("said", "bob", "<b> is a tag")),
        ("12:00 < bob> hi", ("said", "bob", "hi")),
        ("12:00 <~[b]\\`^{}|> hi", ("said", "[b]\\`^{}|", "hi")),
        ("12:00 <@bob:#boats> hi", ("said", "bob", "hi")),
        ("12:00 <bob> ", ("said", "bob", "")),
        ("12:00 <bob>", ("said", "bob", "")),
        ("[12:00] <bob> hi", ("said", "bob", "hi")),
        ("[12:00:30] <bob> hi", ("said", "bob", "hi")),
        ("2023-11-15 12:00:30 <bob> hi", ("said", "bob", "hi")),
        ("2023-11-15T12:00:30+0100 <bob> hi", ("said", "bob", "hi")),
        ("15.11.2023 12:00 <bob> hi", ("said", "bob", "hi")),
        ("Nov 15 12:00:30 <bob> hi", ("said", "bob", "hi")),
        ("1:05 pm <bob> hi", ("said", "bob", "hi")),
        ("<bob> no time", ("said", "bob", "no time")),
        ("12:00 <bridge> <alice> hi", ("said", "bridge", "<alice> hi")),
        ("12:00 * bob waves", ("acted", "bob", "waves")),
        ("12:00 -!- bob is now known as [bob]", ("nick change", "bob", "[bob]")),
        ("12:00 -!- #a bob [~b@h] has quit [bye]", ("left", "bob", "")),
        ("12:00 -!- bob [~b@h] [account] has joined #c", ("joined", "bob", "")),
        ("12:00 -!- Topic unset by bob on #c", ("topic", "bob", "")),
        ("12:00 -!- Netsplit a.net <-> b.net quits: x, y", ("other", "", "")),
        ("12:00 -NickServ(ns@services)- hello", ("notice", "NickServ", "hello")),
        ("12:00 [msg(NickServ)] identify x", ("notice", "NickServ", "identify x")),
    ],
    "weechat": [
        ("2023-11-15 12:00:00\t+bob\thi\tthere", ("said", "bob", "hi\tthere")),
        ("2023-11-15 12:00:00\t\t****  Beginning of log  ****", ("other", "", "")),
        (
            "2023-11-15 12:00:00\t-->\tbob [acc] (Real Name) (~b@h) has joined #c",
            ("joined", "bob", ""),
        ),
        ("2023-11-15 12:00:00\t--\tbob is now known as bob|off", ("nick change", "bob", "bob|off")),
        (
            '2023-11-15 12:00:00\t--\tbob has changed topic for #c to "a "b" c"',
            ("topic", "bob", 'a "b" c'),
        ),
        ("2023-11-15 12:00:00\t--\tNickServ: hm", ("other", "", "")),
        ("2023-11-15 12:00:00\t--\tNotice(NickServ): hm", ("notice", "NickServ", "hm")),
    ],
    "hexchat": [
        ("Nov 15 12:00:00 <bob>\thi", ("said", "bob", "hi")),
        ("Feb 29 12:00:00 <bob>\thi", ("said", "bob", "hi")),
        ("Nov 15 12:00:00 *\tbob has quit smoking", ("acted", "bob", "has quit smoking")),
        ("Nov 15 12:00:00 *\tbob has quit (bye)", ("left", "bob", "")),
        ("Nov 15 12:00:00 -->\tbob (~b@h) has joined #c", ("joined", "bob", "")),
        ("Nov 15 12:00:00 <--\tbob (~b@h) has left #c (bye)", ("left", "bob", "")),
        ("Nov 15 12:00:00 ---\tbob is now known as b", ("nick change", "bob", "b")),
        ("Nov 15 12:00:00 *\tYou are now known as b", ("nick change", "", "b")),
        ("Nov 15 12:00:00 *\tDisconnected (Connection reset by peer)", ("other", "", "")),
        ("Nov 15 12:00:00 -NickServ-\thello", ("notice", "NickServ", "hello")),
        ("Nov 15 12:00:00 >NickServ<\tidentify x", ("notice", "NickServ", "identify x")),
        ("12:00:00 <bob>\thi", ("said", "bob", "hi")),
    ],
    "energymech": [
        ("[12:00:00] * bob waves", ("acted", "bob", "waves")),
        ("[12:00:00] *** Parts: bob (~b@h) (\x0304bye)", ("left", "bob", "")),
        ("[12:00:00] Connected to IRC (irc.example +6697)", ("other", "", "")),
        ("[12:00:00] *** bob changes topic to 'it's wet'", ("topic", "bob", "it's wet")),
    ],
}
