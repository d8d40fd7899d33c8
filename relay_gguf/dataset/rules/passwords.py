"""Passwords where programs take them: commands to services, addresses, command lines, settings."""

from __future__ import annotations

import re
from typing import Final

_VERBS: Final = (
    r"identify|sidentify|register|ghost|recover|release|regain|auth|login|logon|oper|pass|"
    r"password|passwd|setpass|newpass|set\s+password|changepass"
)
_SERVICE: Final = r"(?:\w*serv|[qx])(?:@\S+)?|ns|cs|as|ms|os|hs|bs|\*status"
_TALK: Final = (
    r"(?:is|are|was|were|isn't|wasn't|it|its|the|a|an|my|your|his|her|their|this|that|these|those|me|"
    r"him|them|on|in|at|to|for|from|of|or|and|with|by|as|not|again|now|then|here|there|please|works?|"
    r"worked|fails?|failed|failure|page|screen|form|manager|managers|policy|reset|protected|date|"
    r"notes?|candidate|gas|away|out|through|over|first|today|tomorrow|later|what|when|where|how|why)"
)
"""Words that go on a sentence, where a password would stand behind a command."""
_COMMANDS: Final = re.compile(
    rf"""\s*(?:
      [/.!\\]+\s*(?:quote\s+|raw\s+)?(?:{_VERBS})\b\s*[^\s|>]    # /identify ..., !login ...
    | /j(?:oin)?\s+[#&!+]\S+\s+(?:key:?\s+)?(?!{_TALK}\b)\S+\s*$  # /join #channel key
    | (?:[/\\]+\s*|\.)(?:{_SERVICE})\s+\S                        # /ns ..., /nickserv ...
    | [/.!\\]*\s*(?:msg|privmsg|query|squery|m|quote|raw|notice|say)\s+
        (?:{_SERVICE}|{_VERBS}|privmsg\s+(?:{_SERVICE}))\b       # msg nickserv ...
    | (?:{_SERVICE})\s+(?:{_VERBS})\b                            # nickserv identify ...
    | (?:{_VERBS})\s+(?!{_TALK}\b)\S+(?:\s+\S+)?\s*$             # identify hunter2
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_FIRST: Final = frozenset("/.!\\ \taclnqmxhpogrstuwibe*")
"""First characters of such a line, in lower case: a quick test before the pattern."""

_CALLED: Final = re.compile(
    r"""
      \b(?:pass(?:word|wd|phrase|code)?|pwd|pw|pin)\b['"]?\s*[=:]\s*\S{3}
    | \b(?:pass(?:word|wd|phrase)|pwd)\b['"]?\s*[:=]
    """,
    re.VERBOSE | re.IGNORECASE,
)
_AT: Final = re.compile(
    r"""
      (?<![\w./+-])(?!git@)[\w.+-]+@[\w-]+\.[\w.-]+\s*[:;|/]\s*\S{4}
    | ^\s*[\w.+-]+@[\w-]+\.[\w.-]+\s+\S{4,}\s*$
    | ://[^\s/:@]*:[^\s/@]+@
    """,
    re.VERBOSE,
)
_ARGUMENT: Final = re.compile(
    r"""
      \s--?(?:u|user|userpwd)[\s=]\s*[^\s:]{1,64}:\S{3}          # curl -u ann:hunter2
    | \s--?pass(?:word|wd|phrase)?[\s=]\s*[^\s-]\S{2}
    | \bmysql(?:dump|admin)?\s(?:\S{1,64}\s+){0,6}?-p\S{3} | \bsshpass\s+-p\s?\S{3}
    | \bredis-cli\s(?:\S{1,64}\s+){0,6}?-a\s\S{3} | \s-U\s?[^\s%]{1,64}%\S{3}
    | \bnet\s+user\s+\S{1,64}\s+[^\s/]\S{2} | \becho\s+\S{3,64}\s*\|\s*sudo\s+-S
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ASSIGNED: Final = re.compile(
    r"""(?<!\w)(?=(\w+))\1(?=['"]?(?=(\s*))\2[=:](?=(\s*))\3['"]?\S{6})"""
)
"""A word with a value behind it. Each word is read once: a name of 60,000 letters takes no longer
than as many letters in words."""
_NAMED: Final = re.compile(
    r"api[_ -]?key|secret|token(?!s\b|iz)|private[_ -]?key|access[_ -]?key|password|passwd"
    r"|[_-]pass\b|[_-]pwd|auth[_-]?key",
    re.IGNORECASE,
)
_NAMES: Final = ("pass", "pw", "pin", "key", "secret", "token")
"""Every name of a secret has one of these."""
_LONGEST_NAME: Final = len("private-key")


def has_password(text: str) -> bool:
    """Whether a text gives a password, or a value to a name such as `my_api_key`."""
    if (" -" in text or " user " in text) and _ARGUMENT.search(text):
        return True
    if "@" in text and _AT.search(text):
        return True
    if (":" in text or "=" in text) and any(map(text.lower().__contains__, _NAMES)):
        return _CALLED.search(text) is not None or _is_assigned(text)
    return False


def is_command(text: str) -> bool:
    """Whether a text is a command that takes a password, with or without its slash."""
    return text[:1].lower() in _FIRST and _COMMANDS.match(text) is not None


def _is_assigned(text: str) -> bool:
    """Whether a value is given to a name such as `my_api_key`, which may be several words."""
    for word in _ASSIGNED.finditer(text):
        start = max(0, word.start() - _LONGEST_NAME)
        named = _NAMED.finditer(text, start, word.end())
        if any(name.end() > word.start() for name in named):
            return True
    return False
