"""A scene as a file: JSON lines as the original writes them, plain text, Markdown, IRC logs."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Final, TextIO

from .messages import ACTION, Message, is_notice

Dated = tuple[float, Message]
"""A message with the Unix time at which it was said."""


def new_file(path: Path) -> TextIO:
    """Create and open a text file that its owner alone can read, as sessions are.

    A name that is taken gets a number before its ending.

    Raises:
        OSError: the file cannot be created.
    """
    for number in count(1):
        name = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            return open(
                name,
                "x",
                encoding="utf-8",
                errors="replace",
                newline="\n",
                opener=lambda path, flags: os.open(path, flags, 0o600),
            )
        except FileExistsError:
            continue
    raise AssertionError("count() never ends")


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


def to_irssi(lines: Iterable[Dated], channel: str, model: str) -> Iterator[str]:
    """irssi's log: `HH:MM <nick> text`, `-!-` before IRC's own lines, a line for each new day.

    An action, `/me waves`, is `HH:MM  * nick waves`.
    """
    day = None
    for when, message in _without_echoes(lines):
        stamp = time.localtime(when)
        if day is None:
            yield time.strftime("--- Log opened %a %b %d %H:%M:%S %Y", stamp)
        elif day != stamp[:3]:
            yield time.strftime("--- Day changed %a %b %d %Y", stamp)
        day = stamp[:3]
        clock = time.strftime("%H:%M", stamp)
        for part in message.content.split("\n"):
            if is_notice(message):
                yield f"{clock} -!- {part.removeprefix('* ')}"
            elif part.startswith(ACTION):
                yield f"{clock}  * {message.nick} {part.removeprefix(ACTION)}"
            else:
                yield f"{clock} < {message.nick}> {part}"


def to_weechat(lines: Iterable[Dated], channel: str, model: str) -> Iterator[str]:
    """WeeChat's log: date and time, nick, text, between tabs; `--` for IRC's own lines.

    An action, `/me waves`, has ` *` in the nick's place, and the nick in the text's.
    """
    for when, message in _without_echoes(lines):
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
        who = "--" if is_notice(message) else message.nick
        for part in message.content.split("\n"):
            if who != "--" and part.startswith(ACTION):
                yield f"{stamp}\t *\t{who} {part.removeprefix(ACTION)}"
            else:
                yield f"{stamp}\t{who}\t{part.removeprefix('* ') if who == '--' else part}"


Writer = Callable[[Iterable[Dated], str, str], Iterator[str]]

FORMATS: Final[dict[str, tuple[str, Writer]]] = {
    "jsonl": (".jsonl", to_jsonl),
    "txt": (".txt", to_txt),
    "md": (".md", to_md),
    "irssi": (".log", to_irssi),
    "weechat": (".weechatlog", to_weechat),
}
"""Name of a format → the ending of its files, and the function that yields their lines."""


def write(
    lines: Iterable[Dated], style: str, folder: Path, *, channel: str, model: str, now: float
) -> Path:
    """Write a scene into a new file of `folder`, named after the channel and the time.

    Args:
        lines: the messages with their Unix times.
        style: a name in `FORMATS`.
        folder: must exist.
        channel: where the scene plays, without its #.
        model: the name of the model that wrote the replies.
        now: Unix time for the file's name.

    Returns:
        The path of the file.

    Raises:
        KeyError: there is no such format.
        OSError: the file cannot be written; an unfinished one is removed.
    """
    return write_scenes([(channel, lines)], style, folder, model=model, now=now)


def write_scenes(
    scenes: Sequence[tuple[str, Iterable[Dated]]],
    style: str,
    folder: Path,
    *,
    model: str,
    now: float,
) -> Path:
    """Write scenes, each with the channel where it plays, one after the other; else as `write`.

    The file is named after the last channel.
    """
    ending, writer = FORMATS[style]
    safe = re.sub(r"[^\w-]+", "-", scenes[-1][0])[:40].strip("-") or "channel"
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    file = new_file(folder / f"relay-{safe}-{stamp}{ending}")
    path = Path(file.name)
    try:
        with file:
            for channel, lines in scenes:
                for line in writer(lines, channel, model):
                    file.write(line + "\n")
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def write_context(
    context: Iterable[Mapping[str, str]], model: str, path: str | Path | None = None
) -> Path:
    """Write entries of role and content as JSON lines, each with the model's name.

    Args:
        context: the entries.
        model: the model's name.
        path: a new file, or a folder for a file named after the time; None is the current folder.

    Returns:
        The path of the file; if one of that name exists, it has a number.

    Raises:
        OSError: the file cannot be written.
    """
    name = f"export-relay-gguf-{int(time.time())}.jsonl"
    target = Path(path or name)
    with new_file(target / name if target.is_dir() else target) as file:
        for entry in context:
            file.write(json.dumps({**entry, "model": model}, ensure_ascii=False) + "\n")
    return Path(file.name)


def _without_echoes(lines: Iterable[Dated]) -> Iterator[Dated]:
    """The lines but for Relay's notice of an action, which a client's log does not repeat."""
    echo = ""
    for when, message in lines:
        if not (is_notice(message) and message.content == echo):
            yield when, message
        acted = not is_notice(message) and message.content.startswith(ACTION)
        echo = f"* {message.nick} used {message.content}" if acted else ""


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)
