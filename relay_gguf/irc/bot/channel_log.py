"""Channel logs in the format of irssi or WeeChat, a file for each channel and day."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from relay_gguf.display import visible
from relay_gguf.errors import SettingsError
from relay_gguf.irc.protocol.names import fold

Style = Literal["irssi", "weechat"]
STYLES: Final[tuple[Style, ...]] = ("irssi", "weechat")
ENDINGS: Final = {"irssi": ".log", "weechat": ".weechatlog"}

_KEPT: Final = "\t\x02\x03\x04\x0f\x16\x1d\x1e\x1f"
"""Codes for bold, colour and the like, which readers of logs know, and WeeChat's tab."""
_log = logging.getLogger(__name__)


class ChannelLog:
    """Writes lines into `folder`/channel/2026-11-22.log, each as soon as it comes."""

    def __init__(
        self,
        folder: Path | None,
        style: Style,
        now: Callable[[], time.struct_time] = time.localtime,
    ) -> None:
        """No file or folder is made before the first line, and none at all if `folder` is None.

        `now` gives the time of a line.
        """
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
        if self._folder is None:
            return
        stamp = self._now()
        day = time.strftime("%Y-%m-%d", stamp) + ENDINGS[self._style]
        path = self._folder / folder_name(channel) / day
        stamp_format = "%H:%M " if self._style == "irssi" else "%Y-%m-%d %H:%M:%S\t"
        opened = time.strftime("--- Log opened %a %b %d %H:%M:%S %Y\n", stamp)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            begins = self._style == "irssi" and not path.exists()
            with path.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(opened if begins else "")
                file.write(time.strftime(stamp_format, stamp) + _harmless(line) + "\n")
        except OSError as error:
            if not self._broken:
                _log.warning("cannot write the log %s: %s", path, error.strerror)
            self._broken = True
        else:
            self._broken = False


def opened_log(style: str | None, folder: Path) -> ChannelLog | None:
    """The channel log of a style in a folder, which is made; None without a style.

    Raises:
        SettingsError: there is no such style, or the folder cannot be made.
    """
    if style is None:
        return None
    found = [known for known in STYLES if known == style]
    if not found:
        raise SettingsError(f"--log is {style!r}; it may be {' or '.join(STYLES)}.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"Cannot write logs into {folder}: {error.strerror}.") from error
    return ChannelLog(folder, found[0])


def folder_name(channel: str) -> str:
    """The name of a channel's folder: the channel's own, if no other channel's is the same.

    A name that a folder cannot have, or that differs from another in the case of a letter beyond
    ASCII, is followed by a space, which no channel has, and a digest.
    """
    plain = re.sub(r"[^\w#.-]+", "-", channel).strip(".") or "-"
    if plain == channel and fold(channel) == channel.lower():
        return plain
    return f"{plain} {sha256(fold(channel).encode()).hexdigest()[:8]}"


def _harmless(line: str) -> str:
    """A line that a terminal prints and does not obey, its formatting kept."""
    return "".join(char if char in _KEPT else visible(char) for char in line)
