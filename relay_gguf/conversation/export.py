"""Scenes as a file, in each of the formats."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Final, TextIO

from .formats.client_logs import to_irssi, to_weechat
from .formats.dated import Dated, DatedScene
from .formats.html import to_html
from .formats.texts import to_jsonl, to_md, to_txt

SceneWriter = Callable[[Iterable[Dated], str, str], Iterator[str]]
"""Messages, their channel and the model's name → lines."""
Writer = Callable[[Iterable[DatedScene], str], Iterator[str]]
"""Scenes and the model's name → the lines of a file."""


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


def _each(writer: SceneWriter) -> Writer:
    """A format in which scenes stand one after the other, and nothing around them."""

    def write_each(scenes: Iterable[DatedScene], model: str) -> Iterator[str]:
        for channel, lines in scenes:
            yield from writer(lines, channel, model)

    return write_each


FORMATS: Final[dict[str, tuple[str, Writer]]] = {
    "jsonl": (".jsonl", _each(to_jsonl)),
    "txt": (".txt", _each(to_txt)),
    "md": (".md", _each(to_md)),
    "html": (".html", to_html),
    "irssi": (".log", _each(to_irssi)),
    "weechat": (".weechatlog", _each(to_weechat)),
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
    scenes: Sequence[DatedScene],
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
            for line in writer(scenes, model):
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
