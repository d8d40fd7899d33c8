"""Channel logs in the format of irssi or WeeChat, a file for each channel and day."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

Style = Literal["irssi", "weechat"]
STYLES: Final[tuple[Style, ...]] = ("irssi", "weechat")
ENDINGS: Final = {"irssi": ".log", "weechat": ".weechatlog"}

_log = logging.getLogger(__name__)


class ChannelLog:
    """Writes lines into `folder`/channel/2026-11-22.log, each as soon as it comes."""

    def __init__(
        self,
        folder: Path,
        style: Style,
        now: Callable[[], time.struct_time] = time.localtime,
    ) -> None:
        """No file or folder is made before the first line; `now` gives the time of a line."""
        self._folder = folder
        self._style = style
        self._now = now
        self._broken = False

    def said(self, channel: str, nick: str, text: str, *, action: bool = False) -> None:
        """A message or an action, of one or several lines."""
        for part in text.split("\n"):
            if self._style == "irssi":
                line = f" * {nick} {part}" if action else f"< {nick}> {part}"
            else:
                line = f" *\t{nick} {part}" if action else f"{nick}\t{part}"
            self._write(channel, line)

    def joined(self, channel: str, nick: str, address: str) -> None:
        """A client has joined a channel; `address` is `user@host`."""
        self._event(channel, "-->", f"{nick} [{address}] has joined {channel}")

    def left(self, channel: str, nick: str, address: str) -> None:
        """A client has left a channel."""
        self._event(channel, "<--", f"{nick} [{address}] has left {channel}")

    def topic(self, channel: str, nick: str, text: str) -> None:
        """A client has set the topic, or removed it with ''."""
        if self._style == "irssi":
            self._event(channel, "--", f"{nick} changed the topic of {channel} to: {text}")
        else:
            self._event(channel, "--", f'{nick} has changed topic for {channel} to "{text}"')

    def _event(self, channel: str, sign: str, text: str) -> None:
        if self._style == "weechat":
            text = re.sub(r" \[([^]]*)\] ", r" (\1) ", text, count=1)
        self._write(channel, f"-!- {text}" if self._style == "irssi" else f"{sign}\t{text}")

    def _write(self, channel: str, line: str) -> None:
        stamp = self._now()
        name = re.sub(r"[^\w#.-]+", "-", channel).strip(".") or "-"
        day = time.strftime("%Y-%m-%d", stamp) + ENDINGS[self._style]
        path = self._folder / name / day
        stamp_format = "%H:%M " if self._style == "irssi" else "%Y-%m-%d %H:%M:%S\t"
        opened = time.strftime("--- Log opened %a %b %d %H:%M:%S %Y\n", stamp)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            begins = self._style == "irssi" and not path.exists()
            with path.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(opened if begins else "")
                file.write(time.strftime(stamp_format, stamp) + line + "\n")
        except OSError as error:
            if not self._broken:
                _log.warning("cannot write the log %s: %s", path, error.strerror)
            self._broken = True
        else:
            self._broken = False
