"""Text for a screen: made harmless, wrapped, coloured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from wcwidth import iter_graphemes, wcswidth

RESET: Final = "\x1b[0m"
DIM, RED, GREEN = "\x1b[2m", "\x1b[31m", "\x1b[32m"
NICK_COLOURS: Final = ("\x1b[34m", "\x1b[36m", "\x1b[35m", "\x1b[33m", "\x1b[94m", "\x1b[96m")

# C0 and C1 controls, line and paragraph separators, and what turns the direction of text around.
UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def visible(text: str) -> str:
    """Text that a terminal prints and does not obey: controls as ^X or <U+XXXX>, tabs as spaces."""
    return UNSAFE.sub(_name, text).replace("\t", "    ")


def _name(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"^{chr(code ^ 0x40)}" if code < 0x20 or code == 0x7F else f"<U+{code:04X}>"


def one_line(text: str) -> str:
    """Visible text without line breaks."""
    return " ".join(visible(text).split())


def duration(seconds: float) -> str:
    """A time in words: `40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def size(n_bytes: int) -> str:
    """A number of bytes for people, `7.48 GB`: powers of 1000, as disks and the hub count."""
    if n_bytes >= 10**9:
        return f"{n_bytes / 10**9:.2f} GB"
    if n_bytes >= 10**6:
        return f"{n_bytes / 10**6:.0f} MB"
    return f"{-(-n_bytes // 1000)} KB"


def listed(items: Sequence[str]) -> str:
    """The first three items, and the number of the others: `a, b, c and 4 more`."""
    shown = ", ".join(items[:3])
    return shown + (f" and {len(items) - 3} more" if len(items) > 3 else "")


def width(text: str) -> int:
    """The columns that a text without controls takes."""
    return len(text) if text.isascii() else max(0, wcswidth(text))


def cut(text: str, columns: int) -> str:
    """The beginning of a text that fits into `columns` columns; an ellipsis if it is cut."""
    kept, used = [], 0
    for grapheme in iter_graphemes(text):
        used += width(grapheme)
        if used > columns:
            break
        kept.append(grapheme)
    else:
        return text
    while kept and width("".join(kept)) > columns - 1:
        kept.pop()
    return "".join(kept) + "…" if columns > 0 else ""


def nick_colour(nick: str) -> str:
    """The escape sequence of a nick's colour, which follows from its letters."""
    return NICK_COLOURS[sum(nick.encode("utf-8", "replace")) % len(NICK_COLOURS)]


class Wrap:
    """Wraps text that comes in pieces at words, without ever moving the cursor back.

    The last word is held until what follows shows that it is whole. A line never breaks within a
    letter as people see it, such as a flag or a Devanagari syllable. `columns` is asked anew for
    each line, since the window may change.
    """

    def __init__(self, columns: Callable[[], int], column: int, indent: int) -> None:
        self._columns = columns
        self._column = column
        self._indent = indent
        self._gap = ""
        self._word = ""
        self._letter = ""

    def feed(self, text: str) -> str:
        """Take a piece of text, and return what can be printed now."""
        letters = list(iter_graphemes(self._letter + visible(text)))
        # The next piece may go on with the last letter; a space or a line break is whole.
        self._letter = letters.pop() if letters and letters[-1] not in (" ", "\n") else ""
        return "".join(map(self._step, letters))

    def flush(self) -> str:
        """The word that was held back."""
        letter, self._letter = self._letter, ""
        return (self._step(letter) if letter else "") + self._put_word()

    def _step(self, letter: str) -> str:
        if letter == "\n":
            out = self._put_word() + self._new_line()
            self._gap = ""
            return out
        if letter.startswith(" "):
            out = self._put_word()
            self._gap += " "
            self._word = letter[1:]
            return out
        out = ""
        columns = width(letter)
        # East Asian text has no spaces: a line may break before each of its letters.
        if columns == 2 or width(self._word) + columns > self._room():
            out = self._put_word()
        self._word += letter
        return out

    def _room(self) -> int:
        return max(8, self._columns() - 1 - self._indent)

    def _new_line(self) -> str:
        self._column = self._indent
        return "\n" + " " * self._indent

    def _put_word(self) -> str:
        if not self._word:
            return ""
        columns = width(self._word)
        room = self._indent + self._room() - self._column - columns
        if len(self._gap) > room and self._column > self._indent:
            lead = self._new_line()
        else:  # at the beginning of a line there is nowhere else to go
            lead = self._gap[: max(0, room)]
            self._column += len(lead)
        out = lead + self._word
        self._column += columns
        self._gap = self._word = ""
        return out


def wrap(text: str, columns: int, column: int = 0, indent: int = 0) -> str:
    """A whole text, wrapped into `columns` columns.

    Its first line begins at `column`, the others are indented by `indent`.
    """
    wrapping = Wrap(lambda: columns, column, indent)
    return wrapping.feed(text) + wrapping.flush()


def status_line(parts: Iterable[tuple[int, str]], columns: int) -> str:
    """A line of those parts that fit into it, in their order.

    Each part is a number and a text; where there is no room for all, low numbers are kept.
    """
    chosen: dict[int, str] = {}
    room = columns - 1
    for index, (_, text) in sorted(enumerate(parts), key=lambda part: part[1][0]):
        needed = width(text) + 2
        if text and needed <= room:
            chosen[index] = text
            room -= needed
    return " " + "  ".join(chosen[index] for index in sorted(chosen))
