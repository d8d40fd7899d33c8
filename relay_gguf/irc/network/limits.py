"""Sizes, counts and times that hold for clients, and the tokens of numeric 005 about them."""

from __future__ import annotations

from dataclasses import dataclass

from relay_gguf.irc.protocol.modes import BAN, BOT, isupport_modes


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes of UTF-8, times in seconds; all else is a count.

    Nick, user and channel are short enough for a topic and a good line of text to fit behind them.
    """

    nick: int = 30
    user: int = 20
    channel: int = 64
    topic: int = 300
    realname: int = 150
    reason: int = 200
    """Of PART, QUIT, KICK and AWAY."""
    key: int = 32

    clients: int = 300
    host_clients: int = 50
    """From one host, which is not this machine."""
    unregistered: int = 50
    """Connections that have not registered; one more ends the one that waits the longest."""
    guesses: int = 10
    """Wrong passwords that a host may send at once."""
    guess: float = 6.0
    """Seconds after which it may send one more."""
    channels: int = 50
    """That a client may be in."""
    targets: int = 4
    """Of one PRIVMSG or NOTICE."""
    monitor: int = 100
    """Nicks that a client may be told about."""
    bans: int = 50
    """Of a channel."""

    burst: int = 60
    """Lines that a client may send at once."""
    rate: float = 10.0
    """Lines a second after that: a paste of 200 lines takes 14 seconds."""
    sendq: int = 1 << 20
    """Bytes sent that a client has not read yet."""

    register: float = 60.0
    """Until a connection must have registered."""
    silence: float = 120.0
    """Without a line, after which a client gets a PING."""
    pong: float = 60.0
    """Within which it must answer."""
    check: float = 15.0
    """Between two checks of all timeouts."""
    linger: float = 2.0
    """For the last lines to a client whose connection ends."""

    answer: float = 10.0
    """Within which a hook must answer a question: a whois, a list, a history."""
    patience: float = 0.1
    """That a client's next line waits until the hooks take or refuse an unknown command."""
    waiting: int = 500
    """Jobs of one channel that were not begun."""

    batch_bytes: int = 4096
    """Of a multiline message."""
    batch_lines: int = 24
    history: int = 100
    """Messages that one CHATHISTORY shows."""
    replay: int = 50
    """Messages that a client is shown when it joins."""


def isupport(limits: Limits) -> list[str]:
    """The tokens of numeric 005 (modern.ircdocs, RPL_ISUPPORT Parameters)."""
    targets = limits.targets
    chanmodes, prefix = isupport_modes()
    return [
        f"AWAYLEN={limits.reason}",
        f"BOT={BOT}",
        "CASEMAPPING=ascii",
        f"CHANLIMIT=#:{limits.channels}",
        f"CHANMODES={chanmodes}",
        f"CHANNELLEN={limits.channel}",
        "CHANTYPES=#",
        f"CHATHISTORY={limits.history}",
        "ELIST=MNU",
        f"KICKLEN={limits.reason}",
        f"MAXLIST={BAN}:{limits.bans}",
        "MODES",
        f"MONITOR={limits.monitor}",
        "MSGREFTYPES=msgid,timestamp",
        f"NAMELEN={limits.realname}",
        "NETWORK=Relay",
        f"NICKLEN={limits.nick}",
        f"PREFIX={prefix}",
        f"TARGMAX=JOIN:,KICK:,NAMES:,NOTICE:{targets},PART:,PRIVMSG:{targets},WHOIS:1",
        f"TOPICLEN={limits.topic}",
        f"USERLEN={limits.user}",
        "UTF8ONLY",
    ]
