"""Scenes as one HTML page in an IRC client's look, dark or light as the reader has it.

The page has no scripts and asks no host for anything; its own policy forbids both.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from relay_gguf.conversation.messages import ACTION, Message, is_notice

from .dated import Dated, DatedScene, without_echoes

N_COLOURS: Final = 6
# What a page cannot hold, or what turns the direction of the text around it.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
    "|[\ufdd0-\ufdef\ufffe\uffff]"
)
_STYLE: Final = """\
:root {
  color-scheme: light dark;
  --back: #fdfdfd; --text: #1c1c1c; --dim: #666; --bar: #00437a; --line: #ddd;
  --n0: #0b57d0; --n1: #00696d; --n2: #8a1a8f; --n3: #7a5900; --n4: #b3261e; --n5: #2e6b1f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14161a; --text: #d8d8d8; --dim: #9a9a9a; --bar: #16457a; --line: #30343a;
    --n0: #82aaff; --n1: #5fd7d7; --n2: #e89cf0; --n3: #e5c07b; --n4: #ff8f85; --n5: #98d37c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
header, footer { background: var(--bar); color: #fff; padding: .3em 1ch; }
header { position: sticky; top: 0; }
h1 { display: inline; font-size: 1em; margin: 0; }
.topic { margin-left: 2ch; }
ol { list-style: none; margin: 0 auto; padding: .5em 1ch; max-width: 110ch; }
li { display: grid; grid-template-columns: 5ch 13ch 1fr; column-gap: 1.5ch; }
time, .notice, .day { color: var(--dim); }
b { text-align: right; font-weight: 600; overflow-wrap: anywhere; }
span { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; }
.action { font-style: italic; }
.day { display: block; text-align: center; border-bottom: 1px solid var(--line); margin: .5em 0; }
.n0 { color: var(--n0); } .n1 { color: var(--n1); } .n2 { color: var(--n2); }
.n3 { color: var(--n3); } .n4 { color: var(--n4); } .n5 { color: var(--n5); }
@media (max-width: 60ch) {
  li { grid-template-columns: 5ch 1fr; margin-bottom: .4em; }
  b { text-align: left; }
  span { grid-column: 1 / -1; }
}"""


def to_html(scenes: Iterable[DatedScene], model: str) -> Iterator[str]:
    """A page: for each scene its channel, topic and lines; the model's name at the end."""
    found = [(channel, list(without_echoes(lines))) for channel, lines in scenes]
    title = ", ".join(dict.fromkeys(f"#{channel}" for channel, _ in found))
    yield '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">'
    yield (
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_safe(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n<main>"
    for channel, lines in found:
        yield from _scene(channel, lines)
    yield f"</main>\n<footer>with {_safe(model)}, by relay-gguf</footer>\n</body>\n</html>"


def _scene(channel: str, lines: list[Dated]) -> Iterator[str]:
    begin = f"* Topic for #{channel} is: "
    topics = [m.content for _, m in lines if is_notice(m) and m.content.startswith(begin)]
    topic = topics[-1].removeprefix(begin) if topics else ""
    shown = f'<span class="topic">{_safe(topic)}</span>' if topic else ""
    yield f"<section>\n<header><h1>#{_safe(channel)}</h1>{shown}</header>\n<ol>"
    day = ""
    for when, message in lines:
        stamp = time.localtime(when)
        if day != (day := time.strftime("%Y-%m-%d", stamp)):
            yield f'<li class="day">{day}</li>'
        moment = time.strftime("%Y-%m-%dT%H:%M:%S%z", stamp)
        clock = f'<time datetime="{moment}">{time.strftime("%H:%M", stamp)}</time>'
        yield f"{_row(message, clock)}</li>"
    yield "</ol>\n</section>"


def _row(message: Message, clock: str) -> str:
    if is_notice(message):
        text = _safe(message.content.removeprefix("* "))
        return f'<li class="notice">{clock}<b>-!-</b><span>{text}</span>'
    colour = f"n{sum(message.nick.encode('utf-8', 'replace')) % N_COLOURS}"
    nick, text = _safe(message.nick), _safe(message.content.removeprefix(ACTION))
    if message.content.startswith(ACTION):
        who = f'<span><i class="{colour}">{nick}</i> {text}</span>'
        return f'<li class="action">{clock}<b>*</b>{who}'
    text = _safe(message.content)
    return f'<li>{clock}<b class="{colour}">&lt;{nick}&gt;</b><span>{text}</span>'


def _safe(text: str) -> str:
    """Text as HTML: what means something there escaped, controls made visible."""
    return escape(_UNSAFE.sub(_shown, text))


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "\ufffd"
