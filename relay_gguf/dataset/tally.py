"""The counts of a run: lines read, conversations made, and messages left out, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relay_gguf.display import one_line

from .secrets import KINDS


@dataclass(slots=True)
class Tally:
    """The counts of a run, which grow as it goes."""

    files: Counter[str] = field(default_factory=Counter)  # by format
    skipped: list[tuple[Path, str]] = field(default_factory=list)  # a file, and why
    lines: int = 0
    unknown: int = 0
    empty: int = 0
    secrets: Counter[str] = field(default_factory=Counter)
    conversations: int = 0
    held_out: int = 0
    messages: int = 0
    replies: int = 0
    tokens: int = 0
    without_reply: int = 0  # conversations in which the model says nothing
    too_few_replies: int = 0
    duplicates: int = 0
    unanswered: int = 0  # messages after the model's last in a conversation
    too_long: int = 0  # messages longer than a conversation may be
    lost_changes: int = 0  # changes of the owner's nick that nobody could follow

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        counts = asdict(self)
        counts["files"] = {"read": self.files.total(), **self.files}
        counts["skipped"] = [{"file": str(path), "why": why} for path, why in self.skipped]
        counts["secrets"] = {"all": self.secrets.total(), **self.secrets}
        counts["known"] = self.lines - self.unknown
        return counts

    def table(self, *, exact: bool) -> Iterator[str]:
        """The counts in lines for a person; `exact` if a tokenizer counted the tokens."""
        formats = ", ".join(f"{name} {count}" for name, count in sorted(self.files.items()))
        secrets = ", ".join(f"{kind} {self.secrets[kind]}" for kind in KINDS if self.secrets[kind])
        rows = (
            ("files", self.files.total(), formats),
            ("lines", self.lines, ""),
            ("  known", self.lines - self.unknown, ""),
            ("  unknown", self.unknown, "--unknown FILE writes them out" if self.unknown else ""),
            ("left out", None, ""),
            ("  empty messages", self.empty, ""),
            ("  messages with secrets", self.secrets.total(), secrets),
            ("  too long messages", self.too_long, ""),
            ("  messages without a reply", self.unanswered, "after the last one"),
            ("  conversations without a reply", self.without_reply, ""),
            ("  with too few", self.too_few_replies, ""),
            ("  seen before", self.duplicates, ""),
            ("conversations", self.conversations, self._held()),
            ("messages", self.messages, f"{self.replies:,} of the model"),
            ("tokens", self.tokens, "" if exact else "about"),
        )
        width = max(len(f"{count or 0:,}") for _, count, _ in rows)
        always = {"files", "lines", "  unknown", "  messages with secrets"}
        for name, count, note in rows:
            if count or name in always or not name.startswith(" "):
                shown = "" if count is None else f"{count:>{width},}"
                yield f"{name:<33}{shown}  {note}".rstrip()
        for path, why in self.skipped:
            yield one_line(f"skipped {path}: {why}.")
        if self.lost_changes:
            yield (
                f"{self.lost_changes} times the logs say that their owner took another nick, and "
                "not who that is. If it is the model, name its nicks with --as."
            )

    def _held(self) -> str:
        return f"{self.held_out:,} of them held out" if self.held_out else ""
