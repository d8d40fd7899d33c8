"""Which menu is open, and the line that a choice in it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prompt_toolkit.application import Application

from relay_gguf.conversation.commands import Call, parse
from relay_gguf.conversation.events import Alternative, Event, Offered
from relay_gguf.conversation.session import Session
from relay_gguf.conversation.transcript import Turn

from .reply_menu import ReplyMenu
from .session_menu import SessionMenu


class Menus:
    """The menus of a chat: `/load` opens one before the session has the line, `/retry 4` one while
    it does what the line says.
    """

    def __init__(
        self,
        app: Application[Any],
        session: Session,
        chosen: Callable[[str | None], None],
        stop: Callable[[], None],
        tell: Callable[[Event], None],
        now: Callable[[], float],
    ) -> None:
        """Show nothing yet.

        Args:
            app: the owner of the terminal.
            session: the conversation.
            chosen: called when a menu is closed, with the line to do next, if there is one.
            stop: stops the replies that are being drawn.
            tell: shows what becomes of replies when none was chosen.
            now: the time, in Unix time.
        """
        self._session = session
        self._chosen = chosen
        self._stop = stop
        self._tell = tell
        self._label = ""
        self._last: Turn | None = None
        self._offered: Offered | None = None
        self._is_closed = self._is_chosen = False
        self._sessions = SessionMenu(app, self._session_chosen, now)
        self._replies = ReplyMenu(app, self._reply_chosen, session.settle)

    def opens(self, line: str, place: str) -> bool:
        """Whether a line asks for the saved sessions, and there are some: the menu is open then."""
        if parse(line) != Call("load", "") or not self._session.names:
            return False
        dialogue = self._session.dialogue
        self._sessions.open(dialogue.saved(), f"{place}/load ", dialogue.name)
        return True

    def begin(self, line: str, place: str) -> None:
        """Expect the events of a line, which the session does not have yet."""
        self._label, self._last = place + line, self._session.transcript.last
        self._offered, self._is_closed, self._is_chosen = None, False, False

    def takes(self, told: Event) -> bool:
        """Whether an event is for a menu alone, which has it then."""
        match told:
            case Alternative():
                if not self._is_closed:
                    self._show(told)
            case Offered():
                self._offered = told
            case _:
                return False
        return True

    def end(self) -> bool:
        """The events are over; whether replies wait to be chosen from."""
        if self._offered is None:
            self._replies.close()  # nothing came
        elif self._is_closed and not self._is_chosen:
            self._leave(self._offered)
        return self._replies.is_open

    def _show(self, told: Alternative) -> None:
        last = self._last
        if not self._replies.is_open:
            text = last.answer.content if last and last.answer else None
            number, count = (last.chosen + 1, len(last.answers)) if last else (0, 0)
            self._replies.open(self._label, text, number, count)
        self._replies.take(told)

    def _session_chosen(self, name: str | None) -> None:
        self._chosen(None if name is None else f"/load {name}")

    def _reply_chosen(self, number: int | None) -> None:
        self._is_closed, self._is_chosen = True, number is not None
        if number is not None:
            self._chosen(f"/next {number}")
        elif self._offered is not None:
            self._leave(self._offered)
        else:
            self._stop()

    def _leave(self, offered: Offered) -> None:
        """Nothing was chosen: tell which reply stands, and what it says if nobody has read it."""
        if self._last is not None and self._last.answers:
            self._tell(offered)
            self._chosen(None)
        else:
            self._chosen(f"/next {offered.standing}")
