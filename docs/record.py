"""Records README's picture: a real chat with the demo model in a terminal, as `images/chat.svg`.

    python docs/record.py

It needs the `demo` and `test` extras and a system with pseudo-terminals (Linux, macOS). The chat
runs in folders of its own, so that it neither shows nor changes anything of the user's. The font is
the reader's: the file refers to nothing outside itself.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect
import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS, ROWS = 80, 26
SEED = 5
LINES = (
    "/join #naples",
    "hi! where are you from?",
    "/cast I am a retired pirate, I live on a boat with my parrot Gino",
    "and what do you do?",
    "what did your parrot do today?",
    "/topic monsters of the deep",
    "did you ever see one?",
    "/slap",
)
PICTURE = Path(__file__).parent / "images" / "chat.svg"
QUIET = 2.0
"""Seconds without output after which a reply counts as finished."""
PATIENCE = 300.0
"""Seconds until the first output: the demo model may have to be made."""

THEME = TerminalTheme(
    (22, 24, 29),
    (214, 218, 224),
    [
        (73, 79, 89),
        (240, 113, 120),
        (149, 209, 137),
        (235, 203, 139),
        (122, 170, 247),
        (198, 146, 233),
        (110, 205, 214),
        (214, 218, 224),
    ],
    [
        (124, 132, 145),
        (247, 140, 146),
        (175, 227, 165),
        (245, 220, 165),
        (152, 190, 250),
        (215, 172, 240),
        (145, 222, 229),
        (255, 255, 255),
    ],
)

# rich's own format without the font that it fetches, and in the size of the terminal
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{
        font-size: 18px;
        font-weight: bold;
        font-family: sans-serif;
    }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})"
       clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


class Terminal(pyte.Screen):
    """A screen that answers questions of the program, as where its cursor is.

    The chat asks that, and shows its status line once it knows.
    """

    answer: Callable[[str], object] | None = None

    def write_process_input(self, data: str) -> None:
        """Send the terminal's answer to the program."""
        if self.answer is not None:
            self.answer(data)


def main() -> None:
    """Play the chat and write the picture."""
    screen = play(LINES)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawn(screen), "utf-8", newline="\n")


def play(lines: tuple[str, ...]) -> Terminal:
    """The screen of a terminal after a chat in which `lines` were typed."""
    screen = Terminal(COLUMNS, ROWS)
    emulator = pyte.Stream(screen)
    with TemporaryDirectory() as folder:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
            **dict.fromkeys(("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), folder),
            "TERM": "xterm-256color",
        }
        command = ["-m", "relay_gguf", "chat", "--demo", "--seed", str(SEED)]
        chat = pexpect.spawn(
            sys.executable,
            command,
            env=environment,
            encoding="utf-8",
            dimensions=(ROWS, COLUMNS),
        )

        screen.answer = chat.send

        def settle(patience: float) -> None:
            """Feed the screen until nothing has come for a while."""
            deadline = time.monotonic() + patience
            seen = False
            while time.monotonic() < deadline:
                try:
                    emulator.feed(chat.read_nonblocking(4096, timeout=QUIET))
                    seen = True
                except pexpect.TIMEOUT:
                    if seen:
                        return

        try:
            settle(PATIENCE)
            for line in lines:
                chat.send(line + "\r")
                settle(60.0)
        finally:
            chat.close(force=True)
    return screen


def drawn(screen: pyte.Screen) -> str:
    """A screen as SVG."""
    console = Console(
        width=COLUMNS,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    for row in range(ROWS):
        line = Text(no_wrap=True, end="")
        cells = [screen.buffer[row][column] for column in range(COLUMNS)]
        for style, run in groupby(cells, styled):
            line.append("".join(cell.data for cell in run), style)
        line.rstrip()
        console.print(line, soft_wrap=True)
    return console.export_svg(
        title="relay-gguf chat --demo", theme=THEME, code_format=FORMAT, unique_id="chat"
    )


def styled(cell: Char) -> Style:
    """The style of a cell of the screen, in rich's terms."""
    return Style(
        color=_color(cell.fg),
        bgcolor=_color(cell.bg),
        bold=cell.bold,
        italic=cell.italics,
        underline=cell.underscore,
        reverse=cell.reverse,
    )


def _color(name: str) -> str | None:
    """pyte's name of a colour as rich's; None for the terminal's own."""
    if name == "default":
        return None
    if name.startswith("bright"):
        return f"bright_{_plain(name.removeprefix('bright'))}"
    return f"#{name}" if len(name) == 6 and not name.isalpha() else _plain(name)


def _plain(name: str) -> str:
    return "yellow" if name == "brown" else name  # as the standard of 1976 has it


if __name__ == "__main__":
    main()
