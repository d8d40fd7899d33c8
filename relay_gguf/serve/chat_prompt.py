"""Messages or text as token ids, as the chat template frames them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.engine import ControlTokens

from .refusal import RefusalError
from .request_body import CompletionRequest


class Tokenizes(Protocol):
    """What knows a vocabulary."""

    @property
    def control(self) -> ControlTokens: ...

    def tokenize(self, text: str) -> list[int]: ...


class PromptMaker:
    """Makes the prompts of one model."""

    def __init__(self, engine: Tokenizes, template: str) -> None:
        """Take the source of a chat template, in Jinja.

        Raises:
            TemplateError: it is not one.
        """
        self._template = _parsed(template)
        self._engine = engine
        control = engine.control
        known = {IM_START: control.im_start, IM_END: control.im_end}
        if control.bos is not None and control.bos_text:
            known.setdefault(control.bos_text, control.bos)
        self._known = known
        self._split = re.compile("|".join(f"({re.escape(word)})" for word in known))

    def prompts(self, request: CompletionRequest) -> list[list[int]]:
        """The ids of each prompt of a request: one of a chat.

        Raises:
            RefusalError: the template cannot render the messages, or a prompt is empty.
        """
        if request.kind == "chat":
            return [self.ids(self.render(request.messages, request.variables))]
        found = [
            self.ids(prompt) if isinstance(prompt, str) else list(prompt)
            for prompt in request.prompts
        ]
        if not all(found):
            raise RefusalError("prompt is empty.", param="prompt")
        return found

    def render(
        self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, str] | None = None
    ) -> str:
        """The prompt that the template makes of messages.

        Raises:
            RefusalError: it cannot.
        """
        given = [{**message, "content": message.get("content") or ""} for message in messages]
        bos = self._engine.control.bos_text
        try:
            return self._template.render(
                messages=given, bos_token=bos, add_generation_prompt=True, **(variables or {})
            )
        except Exception as error:  # whatever a template's code may raise
            raise RefusalError(
                f"The chat template refuses these messages: {error}", param="messages"
            ) from error

    def ids(self, text: str) -> list[int]:
        """The ids of a prompt, in which control tokens are read as such; it begins with BOS."""
        ids = list(self._pieces(text))
        bos = self._engine.control.bos
        return ids if bos is None or ids[:1] == [bos] else [bos, *ids]

    def _pieces(self, text: str) -> Iterator[int]:
        for piece in self._split.split(text):
            if piece in self._known:
                yield self._known[piece]
            elif piece:
                yield from self._engine.tokenize(piece)


@lru_cache(maxsize=2)
def _parsed(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    return environment.from_string(source)
