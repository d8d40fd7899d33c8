"""A chat in a pipe."""

from __future__ import annotations

import io

from relay_gguf.chat.plain import run_plain
from relay_gguf.conversation.session import Session


def output(session: Session, typed: str, *, as_json: bool = False) -> str:
    """What a chat writes."""
    out = io.StringIO()
    run_plain(session, [], io.StringIO(typed), out, as_json=as_json)
    return out.getvalue()
