"""The files of the web page, as answers to requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

ORDERS_PATH: Final = "/orders.json"
"""What can be done besides talking, for the page's menu."""
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Connection": "close",
}
"""Of every answer: nothing is loaded from elsewhere, and no other page may show or read it."""


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """An answer to a GET: its status, the type of its content, the content."""

    status: int
    kind: str
    body: bytes


def answer_to(path: str, orders: Callable[[], bytes]) -> PageAnswer:
    """The file of the page that a path names, without its query; 404 for any other.

    Args:
        path: as requested: `/style.css`, or `/` for the page itself.
        orders: makes the answer for `ORDERS_PATH`, in JSON.
    """
    name = path.partition("?")[0].removeprefix("/") or "index.html"
    if f"/{name}" == ORDERS_PATH:
        return PageAnswer(200, _KINDS[".json"], orders())
    folder = files(__package__) / "page"
    found = {file.name: file for file in folder.iterdir()}.get(name)
    kind = _KINDS.get(f".{name.rpartition('.')[2]}")
    if found is None or kind is None:
        return plain(404, "There is nothing here. The page is at /.")
    return PageAnswer(200, kind, found.read_bytes())


def plain(status: int, text: str) -> PageAnswer:
    """An answer in plain text."""
    return PageAnswer(status, "text/plain; charset=utf-8", f"{text}\n".encode())


def raw(answer: PageAnswer) -> bytes:
    """An answer as it is sent."""
    reason = {200: "OK", 403: "Forbidden", 404: "Not Found", 503: "Service Unavailable"}
    headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), **HEADERS}
    lines = [f"HTTP/1.1 {answer.status} {reason[answer.status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body


MISSING: Final = plain(
    503,
    "The page needs the package websockets: pip install 'relay-gguf[web]', or from a clone: "
    "pip install '.[web]'.",
)
"""The answer where IRC in WebSockets is not installed."""
