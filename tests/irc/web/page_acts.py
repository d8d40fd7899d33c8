"""What people do on the web page, and what they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wire import wait_for

OpenPage = Callable[..., Any]


def enter(page: Any, channel: str = "#sea", nick: str = "ann") -> None:
    page.fill("#door-nick", nick)
    page.fill("#door-channel", channel)
    page.press("#door-channel", "Enter")
    page.wait_for_selector(f"#place:text-is('{channel}')")
    page.wait_for_selector("#members li:nth-child(2)", state="attached")


def say(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def shows(page: Any, text: str) -> None:
    """Wait until a text stands in the log that is seen."""
    page.wait_for_selector(f".panel:not([hidden]) .text:text-is('{text}')")


def writes(page: Any, text: str) -> None:
    """Wait until a text stands in the line that is being written."""
    wait_for(lambda: page.input_value("#text") == text)


def which(page: Any) -> str:
    return str(page.inner_text(".panel:not([hidden]) .newest .which"))


def draw(page: Any, begin: float, end: float, y: float) -> None:
    """Draw a finger over the page."""
    session = page.context.new_cdp_session(page)
    for kind, points in (
        ("touchStart", [{"x": begin, "y": y}]),
        ("touchMove", [{"x": (begin + end) / 2, "y": y}]),
        ("touchMove", [{"x": end, "y": y}]),
        ("touchEnd", []),
    ):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
