"""Ctrl-Z, SIGTSTP and SIGCONT: a chat that a shell stops and continues."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from prompt_toolkit.application import Application, run_in_terminal


def suspend(moved: Callable[[], None], *, whole_job: bool = True) -> None:
    """Stop with the terminal as the shell wants it, until the shell continues us.

    Args:
        moved: is called since what is above the input line is no longer where it was.
        whole_job: whether the other processes of the shell's job stop too, as at Ctrl-Z.
    """
    if sys.platform == "win32":  # which has no jobs
        return

    def stop() -> None:
        moved()
        before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(0 if whole_job else os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, before)

    run_in_terminal(stop)


def follow_the_shell(app: Application[Any], moved: Callable[[], None]) -> None:
    """From now on, until the running loop is closed: stop when another process says so, and come
    back from a stop that nobody announced, or that changed the size of the window.

    Args:
        app: the owner of the terminal.
        moved: as in `suspend`.
    """
    if sys.platform == "win32":
        return
    if threading.current_thread() is not threading.main_thread():
        return

    def back() -> None:
        with suppress(OSError):  # the shell may have set the terminal as it likes it itself
            app.input.raw_mode().__enter__()
        moved()
        app.renderer.erase(leave_alternate_screen=False)
        app.renderer.request_absolute_cursor_position()
        app.invalidate()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTSTP, lambda: suspend(moved, whole_job=False))
    loop.add_signal_handler(signal.SIGCONT, back)
