"""The paths of the server, and what each answers."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, Literal

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from relay_gguf.errors import RelayError
from relay_gguf.sampling import SamplingParams

from .answers import AnswerForm, Written
from .chat_prompt import PromptMaker
from .choice import Ended, Wrote
from .choices import ServedEngine, choices
from .door import Door
from .metrics import Metrics
from .refusal import RefusalError
from .request_body import CompletionRequest, read_request

log = logging.getLogger("relay_gguf.serve")

MOST_BYTES: Final = 16 << 20
"""Of a body."""
CLOSED: Final = 499
"""The status that is counted where the client went away, as nginx has it."""
STREAM: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Api:
    """The answers of one model."""

    def __init__(
        self,
        engine: ServedEngine,
        template: str,
        defaults: SamplingParams,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Answer with an engine, which stays the caller's to close.

        Args:
            engine: the model.
            template: its chat template, in Jinja.
            defaults: how tokens are chosen where a request says nothing.
            now: the time, in Unix time.
        """
        self.metrics = Metrics()
        self._engine = engine
        self._maker = PromptMaker(engine, template)
        self._defaults = defaults
        self._now = now
        self._created = int(now())

    def app(self, *, host: str = "127.0.0.1", key: str = "") -> Starlette:
        """The application, for a server that listens on `host`; `key` is empty for none."""
        routes = [
            Route("/health", self._counted(self._health), methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
            Route("/v1/models", self._counted(self._models), methods=["GET"]),
            Route("/v1/models/{name:path}", self._counted(self._model), methods=["GET"]),
            Route("/v1/chat/completions", self._counted(self._chat), methods=["POST"]),
            Route("/v1/completions", self._counted(self._text), methods=["POST"]),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(Door, host=host, key=key)],
            exception_handlers={HTTPException: _unrouted},
        )

    def _counted(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint whose answers are counted, and whose errors are OpenAI's."""

        async def endpoint(request: Request) -> Response:
            try:
                response = await answer(request)
            except RefusalError as error:
                response = JSONResponse(error.body, error.status)
            except ClientDisconnect:  # within its body: nobody reads the answer
                response = Response(status_code=CLOSED)
            except RelayError as error:
                response = JSONResponse(RefusalError(str(error), status=500).body, 500)
            path = request.scope["path"] if "name" not in request.path_params else "/v1/models/"
            self.metrics.answered(path, response.status_code)
            return response

        return endpoint

    # What is there

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _metrics(self, request: Request) -> Response:
        return PlainTextResponse(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card]})

    async def _model(self, request: Request) -> Response:
        if (name := request.path_params["name"]) != self._engine.name:
            raise RefusalError(
                f"There is no model {name[:80]!r}; this server has {self._engine.name}.",
                status=404,
                param="model",
                code="model_not_found",
            )
        return JSONResponse(self._card)

    @property
    def _card(self) -> dict[str, Any]:
        return {
            "id": self._engine.name,
            "object": "model",
            "created": self._created,
            "owned_by": "relay-gguf",
            "meta": {"n_ctx": self._engine.n_ctx, "n_vocab": self._engine.n_vocab},
        }

    # What is written

    async def _chat(self, request: Request) -> Response:
        return await self._complete(request, "chat")

    async def _text(self, request: Request) -> Response:
        return await self._complete(request, "text")

    async def _complete(self, request: Request, kind: Literal["chat", "text"]) -> Response:
        body = await _json(request)
        asked = read_request(body, kind, self._defaults, self._engine.n_vocab)
        prompts = await asyncio.to_thread(self._maker.prompts, asked)
        for prompt in prompts:
            if len(prompt) >= self._engine.n_ctx:
                raise RefusalError(
                    f"The prompt has {len(prompt)} tokens; with a reply it must fit into "
                    f"{self._engine.n_ctx}.",
                    param="messages" if kind == "chat" else "prompt",
                    code="context_length_exceeded",
                )
        form = AnswerForm(kind, self._engine.name, int(self._now()))
        written = [Written() for _ in range(len(prompts) * asked.n)]
        events = self._watched(choices(self._engine, prompts, asked), written)
        if asked.stream:
            stream = _streamed(events, form, asked, written)
            return StreamingResponse(stream, media_type="text/event-stream", headers=STREAM)
        if not await _read(events, request):
            return Response(status_code=CLOSED)
        return JSONResponse(form.whole(written, asked.n))

    async def _watched(
        self, events: AsyncGenerator[tuple[int, Wrote | Ended], None], written: list[Written]
    ) -> AsyncGenerator[tuple[int, Wrote | Ended], None]:
        """The events, which are taken in and counted."""
        self.metrics.in_progress += len(written)
        try:
            async with aclosing(events):
                async for index, event in events:
                    written[index].take(event)
                    if isinstance(event, Ended):
                        self.metrics.ended(event)
                    yield index, event
        finally:
            self.metrics.in_progress -= len(written)


async def _json(request: Request) -> Any:
    """The JSON of a body.

    Raises:
        RefusalError: it is none, or longer than `MOST_BYTES`.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise RefusalError(f"The body has more than {MOST_BYTES >> 20} MiB.", status=413)
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise RefusalError(f"The body is not JSON: {error}") from error


async def _read(events: AsyncGenerator[tuple[int, Wrote | Ended], None], request: Request) -> bool:
    """Read the events to their end; False if the client goes away before, which ends them."""

    async def all_of_them() -> None:
        async with aclosing(events):
            async for _ in events:
                pass

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    reading, leaving = asyncio.create_task(all_of_them()), asyncio.create_task(gone())
    try:
        await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            return False
        reading.result()
        return True
    finally:
        for task in (reading, leaving):
            task.cancel()
        await asyncio.gather(reading, leaving, return_exceptions=True)


async def _streamed(
    events: AsyncGenerator[tuple[int, Wrote | Ended], None],
    form: AnswerForm,
    asked: CompletionRequest,
    written: list[Written],
) -> AsyncIterator[str]:
    """The events as server-sent events; closing them, as a client that goes away does, cancels."""
    offsets = [0] * len(written)
    try:
        async with aclosing(events):
            for index in range(len(written) if form.kind == "chat" else 0):
                yield _sent(form.begin(index))
            async for index, event in events:
                await asyncio.sleep(0)  # where much waits: the client may be gone, others wait too
                if isinstance(event, Ended):
                    yield _sent(form.end(index, event))
                elif event.text or event.logprob is not None:
                    yield _sent(form.piece(index, event, offsets[index]))
                    offsets[index] += len(event.text)
        if asked.stream_usage:
            yield _sent(form.last(written, asked.n))
        yield "data: [DONE]\n\n"
    except RelayError as error:
        log.warning("A stream ended: %s", error)
        yield _sent(RefusalError(str(error), status=500).body)


def _sent(fields: dict[str, Any]) -> str:
    return f"data: {json.dumps(fields, ensure_ascii=False, separators=(',', ':'))}\n\n"


async def _unrouted(request: Request, error: Exception) -> Response:
    """Paths and methods that are not there."""
    assert isinstance(error, HTTPException)
    said = {404: f"There is no {request.url.path[:80]!r} here.", 405: "Not with this method."}
    refusal = RefusalError(said.get(error.status_code, error.detail), status=error.status_code)
    return JSONResponse(refusal.body, error.status_code, error.headers)
