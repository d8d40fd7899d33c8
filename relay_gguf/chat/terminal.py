"""The chat in a terminal; no other file draws.

Half-duplex: the input line is live only while the model is silent. A finished line is never
repainted, so wrapped text cannot be erased wrongly, and the terminal's own scrollback, selection
and copying work. The only things erased are the input line, by prompt_toolkit, which knows its
rows, and the one row that says that someone is typing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from relay_gguf.conversation.commands import Say, parse
from relay_gguf.conversation.events import (
    Draft,
    Event,
    Failed,
    Left,
    Notice,
    Piece,
    Prompted,
    Reading,
    Replayed,
    Said,
    Trimmed,
    Typing,
)
from relay_gguf.conversation.messages import NICKS, SILENCE, Message, is_notice
from relay_gguf.conversation.session import Session
from relay_gguf.conversation.wording import by_program, cut_mark, trim_notice
from relay_gguf.display import (
    DIM,
    GREEN,
    RED,
    RESET,
    Wrap,
    cut,
    nick_colour,
    one_line,
    status_line,
    visible,
    wrap,
)

from .inputline import CommandCompleter, history_at, keys, silent_keys
from .interrupt import stoppable

STYLE = Style.from_dict(
    {"bottom-toolbar": "noreverse fg:ansibrightblack", "channel": "bold", "completion-menu": ""}
)
NARROW = 60
"""Below this many columns, long lines are indented less."""


class Terminal:
    """A chat on a terminal, from the banner to the last line."""

    def __init__(
        self,
        session: Session,
        history: Path | None,
        *,
        colour: bool,
        input: Input | None = None,
        output: Output | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Prepare the input line.

        Args:
            session: the conversation.
            history: where typed lines are remembered, readable by the user alone; None forgets.
            colour: whether to use colours.
            input: a prompt_toolkit input instead of stdin.
            output: a prompt_toolkit output instead of stdout.
            now: the clock, in Unix time.
        """
        self._session = session
        self._colour = colour
        self._now = now
        self._draft = ""
        self._out = output or create_output(sys.stdout)
        self._started = False
        self._asked = False
        self._typing = False
        self._writer = self._opening = ""
        self._stream: Wrap | None = None
        self._prompt: PromptSession[str] = PromptSession(
            history=history_at(history),
            completer=CommandCompleter(session),
            complete_while_typing=False,
            multiline=True,
            erase_when_done=True,
            key_bindings=keys(on_clear=self._stay),
            bottom_toolbar=self._toolbar,
            prompt_continuation=lambda width, number, soft: " " * width,
            style=STYLE,
            color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
            input=input,
            output=self._out,
        )

    def run(self, opening: Iterable[Event]) -> None:
        """Show the events of the opening, then chat until the user leaves."""
        left = self._turn("", opening)
        self._started = True
        while not left:
            try:
                line = self._ask()
            except EOFError:
                return
            except KeyboardInterrupt:
                if self._asked:
                    return
                self._asked = True
                self._line("* Ctrl-C again leaves; so does Ctrl-D.", DIM)
                continue
            self._asked = False
            left = self._turn(line, self._session.submit(line))

    # Input

    def _stay(self) -> None:
        """Forget that Ctrl-C was pressed on an empty line: something was typed since."""
        self._asked = False

    def _ask(self) -> str:
        draft, self._draft = self._draft, ""
        channel = one_line(self._session.transcript.channel)
        label = f"[#{cut(channel, self._columns // 3)}] "
        return self._prompt.prompt(FormattedText([("class:channel", label)]), default=draft)

    def _toolbar(self) -> str:
        status = self._session.status
        topic = one_line(status.topic)
        parts = (
            (0, status.nick),
            (1, f"#{cut(one_line(status.channel), 24)}"),
            (4, cut(topic, max(0, self._columns - 56))),
            (2, f"{status.tokens}/{status.n_ctx}"),
            (3, f"{status.speed:.1f} t/s" if status.speed else ""),
            (5, cut(one_line(status.model), 36)),
        )
        return status_line(parts, self._columns)

    # Output

    @property
    def _columns(self) -> int:
        return self._out.get_size().columns

    def _turn(self, line: str, events: Iterable[Event]) -> bool:
        """Show the events of a typed line; returns whether the user leaves."""
        with stoppable(self._session.cancel) as interrupts, silent_keys():
            left = False
            typed = line.strip() or (SILENCE if self._started else "")
            try:
                for event in events:
                    if isinstance(event, Left):
                        left = True
                    elif isinstance(event, Said) and self._is_typed(event):
                        if typed and event.message.nick == NICKS["input"]:
                            said = parse(typed)
                            text = said.content if isinstance(said, Say) else typed
                            self._message(event.message.nick, text)
                        typed = ""
                    else:
                        self._show(event)
            finally:
                self._end_stream()
                self._end_typing()
        return left or interrupts.leaves

    def _is_typed(self, said: Said) -> bool:
        """Whether a message stands for the typed line, or for the program's own /join."""
        generated = said.message.generated or said.reason is not None
        return not generated and not is_notice(said.message)

    def _show(self, event: Event) -> None:
        match event:
            case Typing(nick, opening):
                self._writer, self._opening = nick, opening
                self._say_typing(f"* {nick} is typing ...")
            case Reading(done, total) if done < total:
                self._say_typing(f"* {self._writer} is typing ... (read {done} of {total} tokens)")
            case Prompted() | Reading():
                pass
            case Piece(text):
                if self._stream is None:
                    self._begin_stream(self._writer, self._opening)
                self._feed(text)
            case Said(message, reason=reason) if reason is not None:
                if self._stream is None:  # a reply without a word
                    self._begin_stream(message.nick)
                self._end_stream()
                if mark := cut_mark(event):
                    self._line(mark, DIM)
            case Said(message):
                self._end_typing()
                self._said(message)
            case Replayed(messages):
                for when, message in messages:
                    if not by_program(message):
                        self._said(message, when)
            case Notice(text):
                self._line(text, DIM)
            case Failed(text):
                self._line(f"* {text}", RED)
            case Trimmed():
                self._line(f"* {trim_notice(event)}", DIM)
            case Draft(text):
                self._draft = text
            case Left():
                pass

    def _said(self, message: Message, when: float | None = None) -> None:
        if is_notice(message):
            self._line(message.content, GREEN, when)
        else:
            self._message(message.nick, message.content, when)

    def _message(self, nick: str, text: str, when: float | None = None) -> None:
        self._begin_stream(nick, when=when)
        self._feed(text)
        self._end_stream()

    def _begin_stream(self, nick: str, opening: str = "", when: float | None = None) -> None:
        self._end_typing()
        self._end_stream()
        clock = self._clock(when)
        shown = f"<{one_line(nick)}>"
        self._write(self._paint(clock, DIM) + " " + self._paint(shown, nick_colour(nick)) + " ")
        column = get_cwidth(clock) + get_cwidth(shown) + 2
        indent = column if self._columns >= NARROW else get_cwidth(clock) + 1
        self._stream = Wrap(lambda: self._columns, column, indent)
        if opening:
            self._feed(opening)

    def _feed(self, text: str) -> None:
        if self._stream is not None:
            self._write(self._stream.feed(text))

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._write(self._stream.flush() + "\n")
            self._stream = None

    def _line(self, text: str, colour: str, when: float | None = None) -> None:
        """Print a text of the program's or of IRC's own, which may have line breaks."""
        self._end_typing()
        self._end_stream()
        clock = self._clock(when)
        column = get_cwidth(clock) + 1
        head = self._paint(clock, DIM) + " "
        for number, part in enumerate(text.split("\n")):
            lead = head if number == 0 else " " * column
            # A table's columns stay where they are; what follows in a row is wrapped below it.
            indent = column + len(part) - len(part.lstrip())
            body = wrap(visible(part), self._columns, column, indent + 2)
            self._write(lead + self._paint(body, colour) + "\n")

    def _say_typing(self, text: str) -> None:
        self._end_stream()
        self._typing = True
        self._write(f"\r\x1b[K{self._paint(cut(visible(text), self._columns - 1), DIM)}")

    def _end_typing(self) -> None:
        if self._typing:
            self._typing = False
            self._write("\r\x1b[K")

    def _clock(self, when: float | None) -> str:
        return time.strftime("%H:%M", time.localtime(self._now() if when is None else when))

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{RESET}" if self._colour and text else text

    def _write(self, text: str) -> None:
        if text:
            self._out.write_raw(text.replace("\n", "\r\n"))
            self._out.flush()
