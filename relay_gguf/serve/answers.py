"""Replies as OpenAI's JSON: whole, or chunk by chunk."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .choice import Ended, TokenLogprob, Wrote


@dataclass(slots=True)
class Written:
    """A reply as far as it is written."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    ended: Ended | None = None

    def take(self, event: Wrote | Ended) -> None:
        """Take in what came."""
        if isinstance(event, Ended):
            self.ended = event
            return
        self.text += event.text
        if event.logprob is not None:
            self.logprobs.append(event.logprob)


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What all parts of one answer have in common: its id, its time, the model's name."""

    kind: Literal["chat", "text"]
    model: str
    created: int
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def whole(self, written: Sequence[Written], per_prompt: int) -> dict[str, Any]:
        """The answer with all replies, of which `per_prompt` are to one prompt."""
        chosen = [self._choice(index, one) for index, one in enumerate(written)]
        return {**self._head(), "choices": chosen, "usage": usage(written, per_prompt)}

    def begin(self, index: int) -> dict[str, Any]:
        """The chunk that begins a reply of a chat: who speaks."""
        return self._chunk(index, {"delta": {"role": "assistant", "content": ""}}, None, None)

    def piece(self, index: int, event: Wrote, offset: int) -> dict[str, Any]:
        """A chunk with text, which begins at the character `offset` of its reply."""
        logprobs = None if event.logprob is None else self._logprobs([event.logprob], offset)
        text = {"delta": {"content": event.text}} if self.kind == "chat" else {"text": event.text}
        return self._chunk(index, text, logprobs, None)

    def end(self, index: int, ended: Ended) -> dict[str, Any]:
        """The chunk that ends a reply."""
        text: dict[str, Any] = {"delta": {}} if self.kind == "chat" else {"text": ""}
        return self._chunk(index, text, None, ended.reason)

    def last(self, written: Sequence[Written], per_prompt: int) -> dict[str, Any]:
        """The chunk with the usage, where the client asked for it."""
        return {**self._head(chunk=True), "choices": [], "usage": usage(written, per_prompt)}

    def _head(self, *, chunk: bool = False) -> dict[str, Any]:
        is_chat = self.kind == "chat"
        return {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{self.id}",
            "object": f"chat.completion{'.chunk' * chunk}" if is_chat else "text_completion",
            "created": self.created,
            "model": self.model,
        }

    def _chunk(
        self, index: int, text: Mapping[str, Any], logprobs: Any, reason: str | None
    ) -> dict[str, Any]:
        choice = {"index": index, **text, "logprobs": logprobs, "finish_reason": reason}
        return {**self._head(chunk=True), "choices": [choice]}

    def _choice(self, index: int, one: Written) -> dict[str, Any]:
        reason = one.ended.reason if one.ended else None
        logprobs = self._logprobs(one.logprobs, 0) if one.logprobs else None
        text: dict[str, Any] = {"text": one.text}
        if self.kind == "chat":
            text = {"message": {"role": "assistant", "content": one.text, "refusal": None}}
        return {"index": index, **text, "logprobs": logprobs, "finish_reason": reason}

    def _logprobs(self, tokens: Sequence[TokenLogprob], offset: int) -> dict[str, Any]:
        if self.kind == "chat":
            content = [{**_token(one), "top_logprobs": [*map(_token, one.top)]} for one in tokens]
            return {"content": content, "refusal": None}
        offsets = []
        for one in tokens:
            offsets.append(offset)
            offset += len(_text(one))
        return {
            "tokens": [_text(one) for one in tokens],
            "token_logprobs": [one.logprob for one in tokens],
            "top_logprobs": [{_text(top): top.logprob for top in one.top} for one in tokens],
            "text_offset": offsets,
        }


def usage(written: Sequence[Written], per_prompt: int) -> dict[str, Any]:
    """The tokens of an answer; those of a prompt count once, however many replies it has."""
    ends = [one.ended for one in written if one.ended]
    firsts = [one.ended for one in written[::per_prompt] if one.ended]
    n_prompt, n_drawn = sum(end.n_prompt for end in firsts), sum(end.n_drawn for end in ends)
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_drawn,
        "total_tokens": n_prompt + n_drawn,
        "prompt_tokens_details": {"cached_tokens": sum(end.n_cached for end in firsts)},
    }


def _token(one: TokenLogprob) -> dict[str, Any]:
    return {"token": _text(one), "logprob": one.logprob, "bytes": list(one.spelled)}


def _text(one: TokenLogprob) -> str:
    return one.spelled.decode("utf-8", "replace")
