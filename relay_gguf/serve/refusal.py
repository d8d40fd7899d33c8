"""Errors in OpenAI's form."""

from __future__ import annotations

from typing import Any

KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


class RefusalError(Exception):
    """A request that is not done: the text says what is wrong, `param` where."""

    def __init__(
        self, text: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        """Refuse with a status of HTTP; `param` is a key of the body, `code` one of OpenAI's."""
        super().__init__(text)
        self.status, self.param, self.code = status, param, code

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        kind = KINDS.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}
