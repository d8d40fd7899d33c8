"""The whole way: log files in, conversations out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relay_gguf.errors import ConversionError

from .conversation import Conversation, Limits
from .logs.formats import Log, Unknown, open_log
from .logs.line import Kind, Line
from .people import People
from .secrets import Secrets
from .segments import Scenes
from .tally import Tally
from .tokens import Count, estimate
from .turns import Style, Turns

OnUnknown = Callable[[Path, Unknown], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How conversations are made of logs."""

    nicks: Sequence[str]
    format: str | None = None
    channel: str = ""
    topics: bool = True
    bios: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    style: Style = field(default_factory=Style)
    count: Count = estimate


def conversations(
    paths: Sequence[Path], options: Options, tally: Tally, on_unknown: OnUnknown | None = None
) -> Iterator[Conversation]:
    """The conversations of some logs, in their order; a folder stands for the files in it.

    A file that cannot be read is named in the tally, and the next one follows.

    Raises:
        SettingsError: there is no such format.
    """
    for path in files_of(paths):
        try:
            yield from _of_log(open_log(path, options.format), options, tally, on_unknown)
        except ConversionError as error:
            tally.skipped.append((path, str(error)))


def speakers(paths: Sequence[Path], name: str | None) -> Counter[str]:
    """Who says how much in some logs."""
    found: Counter[str] = Counter()
    for path in files_of(paths):
        try:
            for read in open_log(path, name).lines:
                if isinstance(read, Line) and read.kind is Kind.SAID:
                    found[read.nick] += 1
        except ConversionError:
            continue
    return found


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """Files and the files in folders, hidden ones left out."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.is_file() and not hidden:
                yield file


def _of_log(
    log: Log, options: Options, tally: Tally, on_unknown: OnUnknown | None
) -> Iterator[Conversation]:
    tally.files[log.format] += 1
    people = People(options.nicks)
    secrets = Secrets(log.target)
    scenes = Scenes(
        options.channel or (log.target if log.target.startswith("#") else ""),
        people,
        Turns(people, options.style),
        secrets,
        options.count,
        limits=options.limits,
        bios=options.bios,
        topics=options.topics,
        tally=tally,
    )
    number = 0
    try:
        for line in log.lines:
            number += 1
            if isinstance(line, Line):
                scenes.feed(line)
                if scenes.done:
                    yield from scenes.done
                    scenes.done.clear()
            else:
                tally.unknown += 1
                if on_unknown is not None:
                    on_unknown(log.path, line)
        yield from scenes.finish()
    except ConversionError as error:
        yield from scenes.finish()
        raise ConversionError(f"{error}, after line {number}") from error
    finally:
        tally.lines += number
        tally.secrets += secrets.found
        tally.lost_changes += people.lost
