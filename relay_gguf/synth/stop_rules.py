"""Where a scene ends, line by line while it is sampled.

The model goes on with the text of a channel for ever. What it writes is taken in token by token;
the scene ends where the channel's talk of two people ends, and nothing is sampled after that.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from relay_gguf.conversation.messages import NICKS, Message

from .irc_text import TALKERS, shown, spoken
from .line_start import OPENINGS, LineStart
from .prompts.head import HEAD_BEGINS

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits

End = Literal[
    "end of text",
    "empty line",
    "next scene",
    "left",
    "third nick",
    "monologue",
    "loop",
    "long line",
    "notice",
    "not IRC",
    "lines",
    "tokens",
    "context",
]
NATURAL: Final = frozenset[End]({"end of text", "empty line", "next scene", "left"})
"""Ends that the model wrote; the others are rules of ours."""

LEAST_TURNS: Final = 4
"""Times that somebody speaks before the scene may end; see `line_start`. Lines in a row are one."""
IN_A_ROW: Final = 3
"""Lines of one person in a row, at most."""
ALIKE: Final = 0.9
"""Similarity (difflib's ratio) of two lines from which one repeats the other."""
LONG: Final = 12
"""Characters from which a line that comes again is a loop; a shorter one may come twice."""

_LEFT: Final = re.compile(rf"\* (?:{'|'.join(TALKERS)})\b.*\b(?:left|quits?|parts?)\b.*")


@dataclass(frozen=True, slots=True)
class SceneLimits:
    """How long a scene may become."""

    max_lines: int = 40
    max_tokens: int = 1024
    max_chars: int = 400  # of a line


class SceneText:
    """A scene while it is sampled: the engine's `look`, `scored` and `until`."""

    def __init__(
        self,
        piece: Callable[[int], bytes],
        starts: LineStart,
        limits: SceneLimits,
        *,
        starter: str,
        opens: str,
    ) -> None:
        """Begin behind the prompt.

        Args:
            piece: the bytes of a token.
            starts: of the same vocabulary.
            limits: of the scene.
            starter: what anon has said; empty if nothing was said.
            opens: what the line that comes begins with.
        """
        self.lines: list[Message] = [Message(NICKS["input"], starter)] if starter else []
        self.end: End | None = None
        self.n_tokens = 0
        self.logprobs = 0.0  # the sum of all tokens'
        self._piece, self._starts, self._limits = piece, starts, limits
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = opens  # of the line that is being written
        self._short = Counter(folded(line.content) for line in self.lines)

    # For the engine

    def look(self, logits: Logits) -> None:
        """Make impossible, (n_vocab,), what may not come while the two have said little."""
        if self._turns >= LEAST_TURNS:
            return
        silent = self.lines[-1].nick if self.lines else ""
        if silent and self._in_a_row(silent) < IN_A_ROW:
            silent = ""
        logits[self._starts.barred(self._rest, silent)] = -np.inf

    def scored(self, logprob: float) -> None:
        """Take in how likely a token was."""
        self.n_tokens += 1
        self.logprobs += logprob

    def until(self, token: int) -> bool:
        """Take in a token; whether the scene ends with it."""
        self._rest += self._decoder.decode(self._piece(token))
        while self.end is None and "\n" in self._rest:
            line, _, self._rest = self._rest.partition("\n")
            self.end = self._take(line.rstrip())
        if self.end is None:
            self.end = self._hopeless(self._rest)
        return self.end is not None

    # The result

    def finish(self, reason: str) -> None:
        """Take in that the engine ended the reply, by a rule of ours or for this reason."""
        if self.end is None:
            ends: dict[str, End] = {"stop": "end of text", "length": "tokens"}
            self.end = ends.get(reason, "context")
            if self.end == "end of text" and (last := spoken(self._rest.rstrip())):
                if self._repeats(last.content):
                    self.end = "loop"
                elif self._in_a_row(last.nick) < IN_A_ROW:
                    self.lines.append(last)

    @property
    def text(self) -> str:
        """The lines up to the last one of the model; empty if it says nothing."""
        ours = [n for n, line in enumerate(self.lines, 1) if line.nick == NICKS["model"]]
        last = max(ours, default=0)
        return "\n".join(text for line in self.lines[:last] for text in shown(line))

    @property
    def logprob(self) -> float:
        """The mean natural logarithm of the tokens' probabilities; 0 without tokens."""
        return self.logprobs / self.n_tokens if self.n_tokens else 0.0

    # The rules

    def _take(self, line: str) -> End | None:
        """Take in a whole line; how the scene ends before it or with it, if so."""
        if not line:
            return "empty line"
        if line.startswith(HEAD_BEGINS):
            return "next scene"
        if _LEFT.fullmatch(line):
            return "left"
        message = spoken(line)
        if message is None:
            return "notice" if line.startswith("* ") else "not IRC"
        if len(message.content) > self._limits.max_chars:
            return "long line"
        if self._in_a_row(message.nick) >= IN_A_ROW:
            return "monologue"
        if self._repeats(message.content):
            return "loop"
        self.lines.append(message)
        self._short[folded(message.content)] += 1
        return "lines" if len(self.lines) >= self._limits.max_lines else None

    def _hopeless(self, begun: str) -> End | None:
        """How the scene ends with a line that is only begun, whatever it becomes."""
        if len(begun) > self._limits.max_chars + len(OPENINGS[0]):
            return "long line"
        if not begun or begun.startswith("*"):
            return None
        if begun.startswith("<"):
            fits = any(begun.startswith(each) or each.startswith(begun) for each in OPENINGS)
            return None if fits else "third nick"
        return None if begun.isspace() else "not IRC"

    @property
    def _turns(self) -> int:
        """Times that one of the two has begun to speak."""
        nicks = [line.nick for line in self.lines]
        return sum(nick != before for nick, before in zip(nicks, ["", *nicks], strict=False))

    def _in_a_row(self, nick: str) -> int:
        count = 0
        for line in reversed(self.lines):
            if line.nick != nick:
                break
            count += 1
        return count

    def _repeats(self, content: str) -> bool:
        new = folded(content)
        if len(new) < LONG:
            return self._short[new] >= 2
        return any(alike(new, folded(line.content)) for line in self.lines)


def folded(text: str) -> str:
    """A line without what does not count for a repetition: case, signs, spaces at its ends."""
    return " ".join(re.sub(r"[^\w\s]", "", text.casefold()).split()) or text.strip()


def alike(one: str, other: str, least: float = ALIKE) -> bool:
    """Whether two folded lines are nearly the same; the quick bounds of difflib come first."""
    if one == other:
        return True
    matcher = SequenceMatcher(None, other, one, autojunk=False)
    return (
        matcher.real_quick_ratio() >= least
        and matcher.quick_ratio() >= least
        and matcher.ratio() >= least
    )
