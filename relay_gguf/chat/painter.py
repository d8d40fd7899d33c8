"""Events as rows of text: times, nicks, wrapped lines, colours."""

from __future__ import annotations

import time
from collections.abc import Callable

from relay_gguf.conversation.events import (
    Draft,
    Event,
    Failed,
    Left,
    Notice,
    Offered,
    Piece,
    Prompted,
    Reading,
    Replayed,
    Said,
    Trimmed,
    Typing,
)
from relay_gguf.conversation.messages import SILENCE, Message
from relay_gguf.conversation.wording import (
    as_shown,
    choice_notice,
    cut_mark,
    reading_note,
    trim_notice,
)
from relay_gguf.display import (
    DIM,
    GREEN,
    RED,
    RESET,
    Wrap,
    nick_colour,
    one_line,
    visible,
    width,
    wrap,
)

NARROW = 60
"""Below this many columns, long lines are indented less."""


class Painter:
    """Writes the events of a chat as they come, a reply piece by piece."""

    def __init__(
        self,
        write: Callable[[str], None],
        columns: Callable[[], int],
        *,
        colour: bool,
        prompts: bool,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """Write nothing yet.

        Args:
            write: takes text with line breaks; a row without one goes on with the next text.
            columns: of the window, asked anew for each row.
            colour: whether to use colours.
            prompts: whether to write each prompt as the model reads it.
            now: the time, in Unix time.
            clock: seconds from any beginning, for how long the model reads.
        """
        self._write = write
        self._columns = columns
        self._colour = colour
        self._prompts = prompts
        self._now = now
        self._clock = clock
        self._typed = self._writer = self._opening = ""
        self._stream: Wrap | None = None
        self._later: list[str] = []
        self._reading: Reading | None = None
        self._since = self._read_at = 0.0

    @property
    def note(self) -> str:
        """Who is typing and has not said a word yet; empty when nobody is."""
        if not self._writer or self._stream is not None:
            return ""
        note = f"* {self._writer} is typing ..."
        if self._reading is None:
            return note
        since_read = self._clock() - self._read_at
        progress = reading_note(
            self._reading.done, self._reading.total, self._read_at - self._since, since_read
        )
        return f"{note} ({progress})"

    @property
    def is_writing(self) -> bool:
        """Whether a message of the model is on its way."""
        return bool(self._writer)

    @property
    def is_reading(self) -> bool:
        """Whether `note` changes by itself."""
        return bool(self.note) and self._reading is not None

    def begin(self, line: str) -> None:
        """Expect the events of a typed line; it is shown as soon as it stands in the channel."""
        self._typed = line.strip() or SILENCE

    def end(self) -> None:
        """End the rows that are open: there are no more events of this line."""
        self._end_stream()
        self._typed = self._writer = ""

    def show(self, event: Event) -> None:
        """Write an event."""
        match event:
            case Typing(nick, opening):
                self._end_stream()
                self._writer, self._opening = nick, opening
                self._reading, self._since = None, self._clock()
            case Reading(done, total):
                self._reading = event if done < total else None
                self._read_at = self._clock()
            case Prompted(text=text):
                self._reading = None
                if self._prompts:
                    self.line(text.rstrip())
            case Piece(text):
                if self._stream is None:
                    self._begin_stream(self._writer, self._opening)
                self._feed(text)
            case Said(message, reason=reason) if reason is not None:
                if self._stream is None:  # a reply without a word
                    self._begin_stream(message.nick)
                self._end_stream()
                self._writer = ""
                if mark := cut_mark(event):
                    self.line(mark, DIM)
            case Said(message):
                self._said(message, self._typed)
            case Replayed(messages):
                for when, message in messages:
                    self._said(message, None, when)
            case Notice(text):
                self.line(text, DIM)
            case Offered():
                self.line(f"* {choice_notice(event)}", DIM)
            case Failed(text):
                self.line(f"* {text}", RED)
            case Trimmed():
                self.line(f"* {trim_notice(event)}", DIM)
            case Draft() | Left():
                pass

    def note_aside(self, text: str) -> None:
        """Write a text that is no event: now, or below the message that is being written."""
        if self._stream is None:
            self.line(text)
        else:
            self._later.append(text)

    def line(self, text: str, colour: str = DIM, when: float | None = None) -> None:
        """Write a text of the program's or of IRC's own, which may have line breaks."""
        self._end_stream()
        clock = self._time(when)
        column = width(clock) + 1
        head = self._paint(clock, DIM) + " "
        for number, part in enumerate(text.split("\n")):
            lead = head if number == 0 else " " * column
            # A table's columns stay where they are; what follows in a row is wrapped below it.
            indent = column + len(part) - len(part.lstrip())
            body = wrap(visible(part), self._columns(), column, indent + 2)
            self._write(lead + self._paint(body, colour) + "\n")

    def _said(self, message: Message, typed: str | None, when: float | None = None) -> None:
        match as_shown(message, typed):
            case "", text:
                self.line(text, GREEN, when)
            case nick, text:
                self._begin_stream(nick, when=when)
                self._feed(text)
                self._end_stream()

    def _begin_stream(self, nick: str, opening: str = "", when: float | None = None) -> None:
        self._end_stream()
        clock = self._time(when)
        shown = f"<{one_line(nick)}>"
        head = self._paint(clock, DIM) + " " + self._paint(shown, nick_colour(nick)) + " "
        column = width(clock) + width(shown) + 2
        indent = column if self._columns() >= NARROW else width(clock) + 1
        self._stream = Wrap(self._columns, column, indent)
        self._write(head + self._stream.feed(opening))

    def _feed(self, text: str) -> None:
        if self._stream is not None:
            self._write(self._stream.feed(text))

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._write(self._stream.flush() + "\n")
            self._stream = None
            later, self._later = self._later, []
            for text in later:
                self.line(text)

    def _time(self, when: float | None) -> str:
        return time.strftime("%H:%M", time.localtime(self._now() if when is None else when))

    def _paint(self, text: str, colour: str) -> str:
        """Text in a colour, row by row, since each row is printed alone."""
        if not self._colour or not text:
            return text
        return "\n".join(f"{colour}{row}{RESET}" for row in text.split("\n"))
