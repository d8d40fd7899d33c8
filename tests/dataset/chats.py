"""What becomes of logs, as text that a test can be read against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relay_gguf.dataset.build import Options, conversations
from relay_gguf.dataset.drafts import ConversationLimits
from relay_gguf.dataset.tally import Tally


def made(
    folder: Path,
    log: str | bytes,
    nicks: Sequence[str] = ("ann",),
    *,
    name: str = "#boats.log",
    limits: dict[str, Any] | None = None,
    tally: Tally | None = None,
    **options: Any,
) -> list[str]:
    """The conversations of a log: `role: content` lines, each conversation one text."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(log if isinstance(log, bytes) else log.encode())
    return told([file], Options(nicks, limits=ConversationLimits(**limits or {}), **options), tally)


def told(files: Sequence[Path], options: Options, tally: Tally | None = None) -> list[str]:
    """The conversations of some files."""
    return [
        "".join(f"{line.nick}: {line.content}\n" for line in conversation.messages)
        for conversation in conversations(files, options, Tally() if tally is None else tally)
    ]


def scene(who_comes: str = "user", channel: str = "boats") -> str:
    """How a conversation opens."""
    other = "anon" if who_comes == "user" else "user"
    return (
        f"{other}: /join #{channel}\n"
        f"system: * Now talking in #{channel}\n"
        f"system: * {who_comes} has joined #{channel}\n"
    )
