"""A scene as text: JSON lines as the original writes them, plain text, Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from relay_gguf.conversation.messages import is_notice

from .dated import Dated


def to_jsonl(lines: Iterable[Dated], channel: str, model: str) -> Iterator[str]:
    """JSON lines in the original's format: an object of role, content and model a message."""
    for _, message in lines:
        entry = {"role": message.nick, "content": message.content, "model": model}
        yield json.dumps(entry, ensure_ascii=False)


def to_txt(lines: Iterable[Dated], channel: str, model: str) -> Iterator[str]:
    """Plain text as on the screen: `<nick> text`, and IRC's own lines with their star."""
    for _, message in lines:
        yield message.content if is_notice(message) else f"<{message.nick}> {message.content}"


def to_md(lines: Iterable[Dated], channel: str, model: str) -> Iterator[str]:
    """Markdown: a bold nick a paragraph, IRC's own lines in italics."""
    yield f"# #{channel}\n"
    yield f"With {_escape(model)}.\n"
    for _, message in lines:
        text = "  \n".join(_escape(part) for part in message.content.split("\n"))
        if is_notice(message):
            yield f"*{_escape(message.content.removeprefix('* '))}*\n"
        else:
            yield f"**{message.nick}**: {text}\n"


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)
