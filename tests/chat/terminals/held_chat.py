"""A chat in this terminal, whose first reply is held open: the program of `windows.Window`.

Usage: held_chat.py FOLDER, where the session is saved, and `gate` is a FIFO.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from fake import engine_of, fake_session

from relay_gguf.chat.terminal import Terminal

HELD_AT = len("I have sailed")


def main(folder: Path) -> None:
    """Chat until the user leaves."""
    session = fake_session(["I have sailed the seven seas.", "And so have you."], folder)
    engine = engine_of(session)

    def hold(count: int) -> None:
        if count != HELD_AT + 2 or len(engine.prompts) > 1:
            return
        when = (folder / "gate").read_text()
        while when == "cancelled" and not engine.is_cancelled:
            time.sleep(0.002)
        if when == "crash":
            terminal._painter.show = None  # type: ignore[assignment,method-assign]

    engine.on_token = hold
    (folder / "pid").write_text(str(os.getpid()))
    terminal = Terminal(session, None, colour=False, now=lambda: 1_700_000_000.0)
    try:
        terminal.run([])
    finally:
        session.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
