"""The chat in a terminal: one owner of the terminal from the first line to the last.

prompt_toolkit reads every key, whether the model writes or not. The input line stays live below
what is said; a line that is entered meanwhile waits for its turn. The conversation runs in a
thread of its own (`backlog`), and its events are painted here, in the thread that reads keys.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output
from prompt_toolkit.output.defaults import create_output

from relay_gguf.conversation.events import Draft, Event, Left, Piece
from relay_gguf.conversation.session import Session
from relay_gguf.debug import log_shown_by

from .backlog import Backlog
from .feed import Feed
from .inputline import input_line, keys
from .interrupt import terminated
from .menus.menus import Menus
from .offered import OfferedText
from .painter import Painter
from .readahead import ReadAhead
from .scrollback import Scrollback
from .statusbar import label, place, toolbar
from .suspend import follow_the_shell

TICK = 0.5
"""Seconds after which the time left is told anew, while the model reads."""


class Terminal:
    """A chat on a terminal, from the banner to the last line."""

    def __init__(
        self,
        session: Session,
        history: Path | None,
        *,
        colour: bool,
        prompts: bool = False,
        reads_ahead: bool = False,
        input: Input | None = None,
        output: Output | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the input line.

        Args:
            session: the conversation.
            history: where typed lines are remembered, readable by the user alone; None forgets.
            colour: whether to use colours.
            prompts: whether to show each prompt as the model reads it.
            reads_ahead: whether the model reads what stands in the input line.
            input: a prompt_toolkit input instead of stdin.
            output: a prompt_toolkit output instead of stdout.
            now: the time, in Unix time.
            clock: seconds from any beginning.
        """
        self._session = session
        self._out = output or create_output(sys.stdout)
        self._asked = self._leaves = False
        self._stops = 0
        self._signal = 0
        self._logged: deque[str] = deque()
        bindings = keys(
            interrupt=self._interrupt,
            leave=self._leave,
            choose=self._enter,
            can_choose=self._can_choose,
            has_draft=lambda: self._offered.is_draft,
            moved=lambda: self._scrollback.break_row(),
        )
        prompt = input_line(
            session,
            history,
            bindings,
            label=self._label,
            toolbar=self._toolbar,
            colour=colour,
            input=input,
            output=self._out,
        )
        self._app, self._buffer = prompt.app, prompt.default_buffer
        self._buffer.accept_handler = self._accept
        self._buffer.on_text_changed += self._changed
        self._scrollback = Scrollback(self._app)
        self._painter = Painter(
            self._scrollback.write,
            lambda: self._columns,
            colour=colour,
            prompts=prompts,
            now=now,
            clock=clock,
        )
        self._menus = Menus(self._app, session, self._chosen, self._stop, self._painter.show, now)
        self._offered = OfferedText(self._buffer, self._painter.note_aside)
        self._told = Feed[Event | BaseException | None](self._app, self._take, self._exit)
        self._ahead = ReadAhead(session.prepare, self._later) if reads_ahead else None
        self._backlog: Backlog | None = None

    def run(self, opening: Iterable[Event]) -> None:
        """Show the events of the opening, then chat until the user leaves.

        However it ends, the terminal is as it was before, and of a reply that was being written
        the session keeps what there is.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed three times, since the model did not stop.
            SystemExit: SIGTERM, SIGHUP or SIGQUIT ended the chat.
        """
        for event in opening:
            self._painter.show(event)
        self._painter.end()
        self._backlog = backlog = Backlog(self._session, self._told.tell)
        with terminated(self._end_by_signal):
            try:
                with log_shown_by(self._log):
                    self._app.run(pre_run=self._begin)
            except EOFError:
                pass
            except OSError as error:  # the window was closed: there is nothing to write to
                if error.errno != errno.EIO:
                    raise
            finally:
                backlog.close()
                self._show_log()
        if self._signal:
            raise SystemExit(128 + self._signal)  # as shells count

    # The thread of the conversation

    def _begin(self) -> None:
        self._told.begin()
        follow_the_shell(self._app, self._scrollback.break_row)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and hasattr(signal, "SIGWINCH"):
            self._app.terminal_size_polling_interval = None  # the signal tells
        if self._signal:
            self._told.call(self._leave_now)

    def _take(self, told: Event | BaseException | None) -> bool:
        match told:
            case None:
                self._painter.end()
                if self._menus.end() and not self._leaves:
                    self._lines.busy = False
                else:
                    self._next()
            case BaseException():
                raise told
            case Draft(text):
                self._offered.draft(text)
            case Left():
                self._leaves = True
            case _ if not self._menus.takes(told):
                was_reading = self._painter.is_reading
                self._painter.show(told)
                if self._painter.is_reading and not was_reading:
                    self._app.create_background_task(self._tick())
        return not isinstance(told, Piece)  # which changes nothing around the input

    def _log(self, text: str) -> None:
        """Show a line of the log above the input line; it comes in any thread."""
        self._logged.append(text)
        self._told.call(self._show_log)

    def _show_log(self) -> None:
        if self._logged and not self._app.is_running:  # below a reply that was not ended
            self._painter.end()
        while self._logged:
            self._painter.note_aside(self._logged.popleft())

    async def _tick(self) -> None:
        while self._painter.is_reading:
            self._app.invalidate()
            await asyncio.sleep(TICK)

    # Lines

    def _accept(self, buffer: Buffer) -> bool:
        self._enter(buffer.text)
        return False

    def _enter(self, line: str) -> None:
        self._offered.forget()
        self._asked = False
        if self._ahead is not None:
            self._ahead.entered()
        backlog = self._lines
        backlog.enter(line)
        if not backlog.busy:
            self._next()

    def _next(self) -> None:
        """Begin with the next line that waits, or leave."""
        backlog = self._lines
        self._stops, backlog.busy = 0, False
        if self._leaves:
            self._exit()
        elif not backlog.waiting:
            self._read_ahead()
        elif self._menus.opens(line := backlog.waiting[0], self._place):
            backlog.waiting.popleft()
        else:
            self._menus.begin(line, self._place)
            self._painter.begin(line)
            backlog.next()

    def _chosen(self, line: str | None) -> None:
        if line is not None:
            self._lines.waiting.appendleft(line)
        if not self._lines.busy:
            self._next()

    def _stop(self) -> None:
        self._lines.stop()

    @property
    def _place(self) -> str:
        return place(self._lines.status.channel, self._columns)

    @property
    def _lines(self) -> Backlog:
        assert self._backlog is not None, "the chat does not run"
        return self._backlog

    # Keys

    def _changed(self, buffer: Buffer) -> None:
        self._asked = False
        if self._backlog is not None and not self._backlog.busy:
            self._read_ahead()

    def _read_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.typed(self._buffer.text)

    def _later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, call)

    def _can_choose(self) -> bool:
        last = self._session.transcript.last
        return not self._painter.is_writing and last is not None and len(last.answers) > 1

    def _interrupt(self) -> None:
        """Ctrl-C: the nearest of what can be taken back, and at last the chat itself."""
        backlog = self._lines
        if backlog.waiting:
            self._offered.give_back(backlog.waiting.pop())
        elif backlog.busy:
            self._stops += 1
            self._leaves = self._leaves or self._stops > 1 or self._asked
            self._asked = True
            if self._stops > 2:
                self._exit(KeyboardInterrupt())
            backlog.stop()
        elif self._buffer.text:
            self._buffer.reset()
        elif self._asked:
            self._exit()
        else:
            self._asked = True
            self._painter.note_aside("* Ctrl-C again leaves; so does Ctrl-D.")

    def _leave(self) -> None:
        """Ctrl-D: leave when all that was entered before is done."""
        if self._lines.busy:
            self._lines.waiting.append("/quit")
        else:
            self._exit()

    def _end_by_signal(self, number: int) -> None:
        """Leave since a signal says so, which may come again while the reply is kept."""
        self._signal = number
        self._told.call(self._leave_now)

    def _leave_now(self) -> None:
        self._leaves = True
        self._lines.waiting.clear()
        if self._lines.busy:
            self._lines.stop()
        else:
            self._exit()

    def _exit(self, error: BaseException | None = None) -> None:
        if self._app.is_running and not self._app.is_done:
            if error is None:
                self._app.exit()
            else:
                self._app.exit(exception=error)

    # The input line

    @property
    def _columns(self) -> int:
        return self._out.get_size().columns

    def _label(self) -> FormattedText:
        backlog = self._lines
        waiting, channel = list(backlog.waiting), backlog.status.channel
        return FormattedText(label(self._painter.note, waiting, channel, self._columns))

    def _toolbar(self) -> str:
        return toolbar(self._lines.status, self._columns)
