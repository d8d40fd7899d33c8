"""The chat in a real terminal, started by a shell: job control, signals, pastes, what is left."""

from __future__ import annotations

import json
import signal
import sys
from inspect import cleandoc
from pathlib import Path

import pytest
from screens import WIDE, until
from thorough import cases
from windows import Window, opened

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no ptys")

PASTE = "\n".join(f"line {number} of a long paste" for number in range(1200))
"""More than 30,000 characters; a terminal holds 4,096 for a program that does not read."""


def replies(window: Window) -> list[tuple[str, bool]]:
    """The model's replies in the session's file, and whether each was cut."""
    records = [json.loads(line) for line in window.saved.splitlines()]
    return [(r["content"], r.get("cut", False)) for r in records if r["event"] == "reply"]


def begun(window: Window) -> None:
    """Say something, and wait for the beginning of the reply, which is held open."""
    window.type("hello\r")
    window.waits_for("<user> I have sailed")


@pytest.mark.parametrize(
    ("size", "queued"),
    [
        (WIDE, "line 0 of a long paste line 1 of a long paste line 2 of a long paste…"),
        (
            (120, 40),
            "line 0 of a long paste line 1 of a long paste line 2 of a long paste line 3 of a long "
            "paste line 4 of a long…",
        ),
    ],
    ids=["80x24", "120x40"],
)
def test_a_paste_in_a_reply_is_one_message(
    tmp_path: Path, size: tuple[int, int], queued: str
) -> None:
    with opened(size, tmp_path) as window:
        begun(window)
        window.type(f"\x1b[200~{PASTE}\x1b[201~")
        window.waits_for("line 1199 of a long paste")
        window.type("\r")
        window.shows(
            f"""
            22:13 <anon> hello
            22:13 <user> I have sailed
              queued: {queued}
            [#random]
            """,
            "anon  #random  104/1048576  fake",
        )
        window.release()
        window.waits_for("so have you")
    records = [json.loads(line) for line in window.saved.splitlines()]
    assert [r["line"] for r in records if r.get("line")] == ["hello", PASTE]


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(WIDE, id="80x24"),
        pytest.param((120, 40), id="120x40", marks=pytest.mark.thorough),
    ],
)
def test_ctrl_z_and_fg_in_a_reply(tmp_path: Path, size: tuple[int, int]) -> None:
    with opened(size, tmp_path) as window:
        begun(window)
        window.type("and th")
        window.waits_for("[#random] and th")
        window.type("\x1a")
        window.waits_for("Stopped")
        window.type("stty -a | grep -ow -- '-*icanon\\|-*echo'\r")
        window.waits_for("\nicanon\necho\n")
        window.type("fg\r")
        window.waits_for("[#random] and th")
        window.release()
        window.waits_for(" the seven seas.")
        window.type("en?\r")
        window.waits_for("<user> And so have you.")
        # On a slow machine the row above may have scrolled away.
        window.waits_for(
            cleandoc("""
            22:13 <user> I have sailed

            [1]+  Stopped                 chat
            $ stty -a | grep -ow -- '-*icanon\\|-*echo'
            icanon
            echo
            $ fg
            chat
             the seven seas.
            22:13 <anon> and then?
            22:13 <user> And so have you.
            [#random]
            """)
        )
        window.waits_for("anon  #random  182/1048576  8.0 t/s  fake")


@pytest.mark.parametrize(
    "number", cases([signal.SIGTSTP, signal.SIGSTOP], signal.SIGTSTP), ids=["SIGTSTP", "SIGSTOP"]
)
def test_another_process_stops_the_chat(tmp_path: Path, number: int) -> None:
    with opened(WIDE, tmp_path) as window:
        window.type("and th")
        window.waits_for("[#random] and th")
        window.kill(number)
        window.waits_for("Stopped")
        window.type("stty -a | grep -ow -- '-*icanon\\|-*echo'\r")
        window.waits_for("\nicanon\necho\n")
        window.resize((60, 12))
        window.type("fg\r")
        window.waits_for("chat\n[#random] and th")
        window.type("en?\r")
        window.release()
        window.waits_for("<user> I have sailed the seven seas.")
        until(lambda: window.text.count("\n") == 11, window)  # the status is in the last row


@pytest.mark.parametrize(
    ("number", "code"),
    cases(
        [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)], (signal.SIGHUP, 129)
    ),
    ids=["SIGTERM", "SIGHUP", "SIGQUIT"],
)
def test_a_signal_ends_the_chat_in_order(tmp_path: Path, number: int, code: int) -> None:
    with opened(WIDE, tmp_path) as window:
        begun(window)
        window.type("half a li")
        window.waits_for("half a li")
        window.kill(number)
        window.release("cancelled")
        window.waits_for("goes on\n$")
        window.type("echo \"left with $?\"; stty -a | grep -ow -- '-*icanon\\|-*echo'\r")
        window.waits_for("\nicanon\necho\n")
        window.shows(f"""
            22:13 <anon> hello
            22:13 <user> I have sailed
            22:13 * cut (stopped); /continue goes on
            $ echo "left with $?"; stty -a | grep -ow -- '-*icanon\\|-*echo'
            left with {code}
            icanon
            echo
            $
            """)
    assert replies(window) == [("I have sailed ", True)]


def test_sigint_is_ctrl_c(tmp_path: Path) -> None:
    with opened(WIDE, tmp_path) as window:
        begun(window)
        window.kill(signal.SIGINT)
        window.release("cancelled")
        window.waits_for("* cut (stopped)")
        window.type("really?\r")
        window.waits_for("<user> And so have you.")


def test_an_idle_chat_ends_by_a_signal_too(tmp_path: Path) -> None:
    with opened(WIDE, tmp_path) as window:
        window.kill(signal.SIGHUP)
        window.waits_for("$")
        window.type('echo "left with $?"\r')
        window.waits_for("left with 129")


def test_a_closed_window_keeps_the_reply(tmp_path: Path) -> None:
    with opened(WIDE, tmp_path) as window:
        begun(window)
        window.close()
        window.release("cancelled")
        until(lambda: replies(window) == [("I have sailed ", True)])


def test_ctrl_d_in_a_reply_is_not_lost(tmp_path: Path) -> None:
    with opened(WIDE, tmp_path) as window:
        begun(window)
        window.type("\x04")
        window.waits_for("queued: /quit")
        window.release()
        window.waits_for("seven seas.\n$")
    assert replies(window) == [("I have sailed the seven seas.", False)]


def test_an_error_restores_the_terminal_and_keeps_the_reply(tmp_path: Path) -> None:
    with opened(WIDE, tmp_path) as window:
        begun(window)
        window.release("crash")
        window.waits_for("TypeError")
        window.type("clear; stty -a | grep -ow -- '-*icanon\\|-*echo'\r")
        window.waits_for("icanon\necho\n$")
    assert replies(window)
