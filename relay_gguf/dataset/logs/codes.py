"""Formatting codes: colours, bold and other bytes that are not part of a text.

mIRC's: 02 bold, 03 colour `N[,N]`, 04 colour `RRGGBB[,RRGGBB]`, 0F plain, 11 monospace, 16
reverse, 1D italic, 1E struck, 1F underlined. Terminals': ESC [ ... m. Other controls, NUL
among them, come from crashes and from CTCP.
"""

from __future__ import annotations

import re
from typing import Final

_CODE: Final = re.compile(
    r"\x03(?:\d{1,2}(?:,\d{1,2})?)?"
    r"|\x04(?:[0-9A-Fa-f]{6}(?:,[0-9A-Fa-f]{6})?)?"
    r"|\x1b(?:\[[0-9;?]*[A-Za-z])?"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]"
)


def plain(text: str) -> str:
    """A text without formatting codes and controls; tabs stay."""
    # Most lines have none, and to know that takes a tenth of the time.
    if text.isprintable():
        return text
    return _CODE.sub("", text)
