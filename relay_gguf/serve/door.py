"""Who is let in: requests to our own host, from our own pages, with the key."""

from __future__ import annotations

import hmac
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from relay_gguf.machine.listen_address import foreign

from .refusal import RefusalError

OPEN: Final = ("/health",)
"""Paths that need no key."""


class Door:
    """Passes on what may come in, and answers the rest."""

    def __init__(self, app: ASGIApp, *, host: str, key: str) -> None:
        """Stand before an application that listens on `host`; `key` is empty for none."""
        self._app = app
        self._host = host
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI asks."""
        if scope["type"] == "http":
            try:
                self._check(scope["path"], Headers(scope=scope))
            except RefusalError as error:
                headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
                answer = JSONResponse(error.body, error.status, headers)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        if problem := foreign(self._host, headers.get("host"), headers.get("origin")):
            raise RefusalError(problem, status=403)
        if self._key and path not in OPEN:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            given = key.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
            if not hmac.compare_digest(given, self._key.encode()):
                raise RefusalError(
                    "The API key is missing or wrong: send it as Authorization: Bearer KEY.",
                    status=401,
                    code="invalid_api_key",
                )
