"""The whole way: log files in, conversations out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from relay_gguf.errors import ConversionError

from .drafts import Conversation, ConversationLimits
from .logs.formats import Log, UnknownLine, open_log
from .logs.log_line import LineKind, LogLine
from .people import People
from .rules.phones import REGIONS
from .secrets import Secrets
from .segments import Segmenter
from .tally import Tally
from .token_count import Count, estimate
from .turns import LogTurns, TurnStyle

OnUnknown = Callable[[Path, UnknownLine], None]


@dataclass(frozen=True, slots=True)
class Options:
    """The options by which conversations are made of logs.

    `nicks` are those of the model, `format` is None to recognize it, `channel` is empty to take the
    one in the log, `bios` have folded nicks as keys, `count` counts the tokens of a message,
    `regions` are codes of the countries whose phone numbers are known without a plus.
    """

    nicks: Sequence[str]
    format: str | None = None
    channel: str = ""
    topics: bool = True
    bios: Mapping[str, str] = field(default_factory=dict)
    limits: ConversationLimits = field(default_factory=ConversationLimits)
    style: TurnStyle = field(default_factory=TurnStyle)
    count: Count = estimate
    regions: Sequence[str] = REGIONS


def conversations(
    paths: Sequence[Path], options: Options, tally: Tally, on_unknown: OnUnknown | None = None
) -> Iterator[Conversation]:
    """The conversations of logs, in their order.

    A file that cannot be read is named in the tally and skipped.

    Args:
        paths: log files, and folders of them.
        options: how conversations are made.
        tally: counts the lines and the messages that are left out.
        on_unknown: is called with each line that no format knows.

    Raises:
        SettingsError: `options.format` is not the name of a format.
    """
    for path in files_of(paths):
        try:
            yield from _of_log(open_log(path, options.format), options, tally, on_unknown)
        except ConversionError as error:
            tally.skipped.append((path, str(error)))


def speakers(paths: Sequence[Path], name: str | None) -> Counter[str]:
    """Nick → the number of lines said in the logs; `name` is the format, None to recognize it.

    Raises:
        ConversionError: none of the files is a log.
    """
    found: Counter[str] = Counter()
    unread: list[str] = []
    n_read = 0
    for path in files_of(paths):
        try:
            for read in open_log(path, name).lines:
                if isinstance(read, LogLine) and read.kind is LineKind.SAID:
                    found[read.nick] += 1
            n_read += 1
        except ConversionError as error:
            unread.append(f"{path}: {error}")
    if unread and not found and not n_read:
        more = f" (and {len(unread) - 1} more)" if len(unread) > 1 else ""
        raise ConversionError(f"No file is a log that can be read. {unread[0]}{more}.")
    return found


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, and the files in folders but for hidden ones."""
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
    secrets = Secrets(log.target, options.regions)
    segmenter = Segmenter(
        channel=options.channel or (log.target if log.target.startswith("#") else ""),
        people=people,
        turns=LogTurns(people, options.style),
        secrets=secrets,
        count=options.count,
        limits=options.limits,
        bios=options.bios,
        topics=options.topics,
        tally=tally,
    )
    number = 0
    try:
        for line in log.lines:
            number += 1
            if isinstance(line, LogLine):
                segmenter.feed(line)
                if segmenter.done:
                    yield from segmenter.done
                    segmenter.done.clear()
            else:
                tally.unknown += 1
                if on_unknown is not None:
                    on_unknown(log.path, line)
        yield from segmenter.finish()
    except ConversionError as error:
        yield from segmenter.finish()
        raise ConversionError(f"{error}, after line {number}") from error
    finally:
        tally.lines += number
        tally.secrets += secrets.found
        tally.lost_changes += people.lost
