"""What one client, and all of them, may take; and what of it clients are told (005)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes of UTF-8, times in seconds, the rest are counts.

    Nick, user and channel are short enough for a topic and a good line of text to fit behind them.
    """

    nick: int = 30
    user: int = 20
    channel: int = 64
    topic: int = 300
    realname: int = 150
    reason: int = 200
    key: int = 32

    clients: int = 300
    channels: int = 50
    targets: int = 4
    bans: int = 50

    burst: int = 60
    rate: float = 10.0
    """Lines at once, then lines a second: a paste of 200 lines takes 14 seconds."""
    sendq: int = 1 << 20
    """Of what a client has not read yet."""

    register: float = 60.0
    silence: float = 120.0
    """After which a client is asked whether it is alive."""
    pong: float = 60.0
    """That it has to say so."""
    check: float = 15.0
    """Between two looks at all clients."""
    linger: float = 2.0
    """For the last words to a client whose connection ends."""

    answer: float = 10.0
    """For the resident to answer a question: a whois, a list, a history."""
    patience: float = 0.1
    """That a client's next line waits for the resident to take or leave an unknown command."""
    waiting: int = 500
    """Jobs of one channel that the resident has not begun."""

    batch_bytes: int = 4096
    batch_lines: int = 24
    history: int = 100
    replay: int = 50
    """Messages shown to who joins."""


def isupport(limits: Limits) -> list[str]:
    """The tokens of numeric 005 (modern.ircdocs, RPL_ISUPPORT Parameters)."""
    targets = limits.targets
    return [
        f"AWAYLEN={limits.reason}",
        "BOT=B",
        "CASEMAPPING=ascii",
        f"CHANLIMIT=#:{limits.channels}",
        "CHANMODES=b,k,l,imnt",
        f"CHANNELLEN={limits.channel}",
        "CHANTYPES=#",
        f"CHATHISTORY={limits.history}",
        "ELIST=MNU",
        f"KICKLEN={limits.reason}",
        f"MAXLIST=b:{limits.bans}",
        "MODES",
        "MSGREFTYPES=msgid,timestamp",
        f"NAMELEN={limits.realname}",
        "NETWORK=Relay",
        f"NICKLEN={limits.nick}",
        "PREFIX=(ov)@+",
        f"TARGMAX=JOIN:,KICK:,NAMES:,NOTICE:{targets},PART:,PRIVMSG:{targets},WHOIS:1",
        f"TOPICLEN={limits.topic}",
        f"USERLEN={limits.user}",
        "UTF8ONLY",
    ]
