"""The application in this process: a request in, its answer out; and an engine that says what it is
told.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fake import FakeEngine

from relay_gguf.convert.template import relay_template
from relay_gguf.engine import Finished, Prefilled, Step, Token
from relay_gguf.errors import EngineError
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.sampling import SamplingParams
from relay_gguf.serve.paths import Api


class Served(FakeEngine):
    """Says its replies in turn, from any thread; `hold` keeps them open after the first letter."""

    n_vocab = 259

    def __init__(self, *replies: str, n_ctx: int = 4096, fails: bool = False) -> None:
        super().__init__(replies, n_ctx=n_ctx)
        self.asked: list[Continuation] = []
        self.hold, self.cancelled, self.fails = False, threading.Event(), fails

    def ask(self, continuation: Continuation) -> Asked:
        """A reply that is about to be said."""
        self.asked.append(continuation)
        reply = self.replies.popleft() if self.replies else "ok"
        return Asked(self, continuation, reply.encode() if isinstance(reply, str) else reply)


@dataclass
class Asked:
    """A reply being said."""

    engine: Served
    continuation: Continuation
    reply: bytes

    def cancel(self) -> None:
        """Stop it."""
        self.engine.cancelled.set()

    def steps(self) -> Iterator[Step]:
        """Its steps."""
        asked = self.continuation
        yield Prefilled(1, len(asked.prompt) - 1, 0.1)
        for count, letter in enumerate(self.reply[: asked.params.max_tokens]):
            if self.engine.fails and count:
                raise EngineError("llama.cpp failed.")
            while self.engine.hold and count and not self.engine.cancelled.wait(0.002):
                pass
            if self.engine.cancelled.is_set():
                yield Finished("cancelled", 1.0)
                return
            row = np.zeros(self.engine.n_vocab, np.float32)
            row[letter] = 10.0
            if asked.look is not None:
                asked.look(row)
            token = int(row.argmax())
            stops = asked.until is not None and asked.until(token)
            yield Token(token)
            if stops:
                break
        yield Finished("stop" if len(self.reply) <= asked.params.max_tokens else "length", 1.0)


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)

    @property
    def chunks(self) -> list[Any]:
        """The objects of a stream, which must end as such."""
        parts = self.body.decode().split("\n\n")
        assert parts[-1] == ""
        data = [part.removeprefix("data: ") for part in parts[:-1]]
        return [json.loads(part) for part in data if part != "[DONE]"]


def api_of(engine: Any) -> Api:
    """The API on an engine, with our template."""
    return Api(engine, relay_template(), SamplingParams(seed=7), now=lambda: 1_700_000_000.0)


def ask(
    app: Any,
    path: str,
    body: Any = None,
    *,
    headers: Sequence[tuple[str, str]] = (),
    leaves_after: int | None = None,
    cut: bool = False,
    method: str | None = None,
) -> Answer:
    """Send a request; with `leaves_after` the client goes away after so many parts of the answer.

    A body that is not bytes is sent as JSON; without one it is a GET. With `cut` the client goes
    away before all of its body was sent.
    """
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = dict([("host", "127.0.0.1:8080"), *headers])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method or ("GET" if body is None else "POST"),
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 9),
        "server": ("127.0.0.1", 8080),
    }
    answer = Answer()

    async def main() -> None:
        gone = asyncio.Event()
        if cut:
            gone.set()
        if leaves_after == 0:
            asyncio.get_running_loop().call_later(0.05, gone.set)
        sent = [{"type": "http.request", "body": data, "more_body": cut}]
        n_parts = 0

        async def receive() -> dict[str, Any]:
            if sent:
                return sent.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal n_parts
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
                return
            answer.body += message.get("body", b"")
            n_parts += 1
            if n_parts == leaves_after:
                gone.set()

        await asyncio.wait_for(app(scope, receive, send), 30)

    asyncio.run(main())
    return answer
