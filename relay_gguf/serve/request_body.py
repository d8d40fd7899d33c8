"""What a client asks for: the body of a request, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from relay_gguf.errors import SettingsError
from relay_gguf.sampling import SamplingParams

from .refusal import RefusalError

MOST_CHOICES: Final = 128
"""Replies to one prompt."""
MOST_REPLIES: Final = 1024
"""Replies to one request: each has a thread, and some 100 KB."""
MOST_STOPS: Final = 16
MOST_LOGPROBS: Final = 20
SAMPLED: Final = (
    *("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed"),
    *("dry_multiplier", "dry_base", "dry_allowed_length", "dry_last_n"),
    *("xtc_probability", "xtc_threshold"),
)
"""Keys that set the field of `SamplingParams` of that name."""
ABSENT: Final = (
    "tools",
    "functions",
    "frequency_penalty",
    "presence_penalty",
    "suffix",
    "echo",
    "audio",
    "grammar",
    "json_schema",
)
"""Keys that would change the answer, and are not supported: their values must say so too."""
VARIABLES: Final = ("relay_channel", "relay_topic", "relay_bio", "relay_turn")


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What is to be written, and how.

    `messages` are those of a chat, `prompts` the texts or token ids of raw completions: one of
    both is empty. `top_logprobs` is how many tokens are told beside each that was drawn; None for
    no logprobs at all. `bias` is added to the logits of token ids.
    """

    kind: Literal["chat", "text"]
    messages: tuple[Mapping[str, Any], ...]
    prompts: tuple[str | tuple[int, ...], ...]
    variables: Mapping[str, str]
    params: SamplingParams
    n: int
    stop: tuple[str, ...]
    bias: Mapping[int, float]
    top_logprobs: int | None
    stream: bool
    stream_usage: bool


def read_request(
    body: Any, kind: Literal["chat", "text"], defaults: SamplingParams, n_vocab: int
) -> CompletionRequest:
    """The request that a body is.

    Args:
        body: its JSON.
        kind: of the path: chat completions, or completions of text.
        defaults: how tokens are chosen where the body says nothing.
        n_vocab: token ids are less than this.

    Raises:
        RefusalError: a value is wrong, or asks for something that is not supported.
    """
    if not isinstance(body, dict):
        raise RefusalError("The body must be a JSON object.")
    for name in ABSENT:
        if body.get(name):
            raise RefusalError(f"{name} is not supported here; leave it out.", param=name)
    shape = body.get("response_format")
    if shape is not None and not (isinstance(shape, dict) and shape.get("type") == "text"):
        raise RefusalError("response_format must be text.", param="response_format")
    options = _typed(body, "stream_options", dict, {})
    is_chat = kind == "chat"
    prompts = () if is_chat else _prompts(body.get("prompt"), n_vocab)
    n = _whole(body, "n", 1, 1, MOST_CHOICES)
    if len(prompts) * n > MOST_REPLIES:
        raise RefusalError(
            f"{len(prompts)} prompts with n = {n} are {len(prompts) * n} replies; one request may "
            f"have {MOST_REPLIES}: send several.",
            param="prompt",
        )
    return CompletionRequest(
        kind=kind,
        messages=_messages(body.get("messages")) if is_chat else (),
        prompts=prompts,
        variables=_variables(_typed(body, "chat_template_kwargs", dict, {})),
        params=_params(body, defaults),
        n=n,
        stop=_stops(body.get("stop")),
        bias=_bias(_typed(body, "logit_bias", dict, {}), n_vocab),
        top_logprobs=_chat_logprobs(body) if is_chat else _text_logprobs(body),
        stream=_typed(body, "stream", bool, False),
        stream_usage=_typed(options, "include_usage", bool, False),
    )


def _typed(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise RefusalError(f"{name} is {value!r:.80}; it must be a {kind.__name__}.", param=name)
    return value


def _whole(body: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value: int = _typed(body, name, int, default)
    if not low <= value <= high:
        raise RefusalError(f"{name} is {value}; it must be {low} to {high}.", param=name)
    return value


def _messages(given: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(given, list) or not given:
        raise RefusalError("messages must be a list of at least one message.", param="messages")
    for index, message in enumerate(given):
        where = f"messages[{index}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RefusalError(f"{where} must be an object with a role.", param="messages")
        content = message.get("content")
        if isinstance(content, list):
            for part in content:
                if not isinstance(part, dict) or not isinstance(part.get("text"), str):
                    raise RefusalError(f"{where} may have parts of text alone.", param="messages")
        elif content is not None and not isinstance(content, str):
            raise RefusalError(f"{where}.content must be text.", param="messages")
    return tuple(given)


def _prompts(given: Any, n_vocab: int) -> tuple[str | tuple[int, ...], ...]:
    several = given if isinstance(given, list) and not _is_ids(given) else [given]
    found = [tuple(one) if _is_ids(one) else one for one in several]
    if not found or not all(isinstance(one, str | tuple) for one in found):
        raise RefusalError("prompt must be text or token ids, or a list of these.", param="prompt")
    for one in found:
        if isinstance(one, tuple) and not all(0 <= token < n_vocab for token in one):
            raise RefusalError(
                f"prompt has a token id that is not 0 to {n_vocab - 1}.", param="prompt"
            )
    return tuple(found)


def _is_ids(value: Any) -> bool:
    ids = isinstance(value, list) and value
    return bool(ids) and all(type(token) is int for token in value)


def _variables(given: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: str(given[name]) for name in VARIABLES if given.get(name) is not None}


def _params(body: Mapping[str, Any], defaults: SamplingParams) -> SamplingParams:
    given = {name: body[name] for name in SAMPLED if body.get(name) is not None}
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and body[name] != -1:
            given["max_tokens"] = body[name]
    if isinstance(given.get("seed"), int):
        given["seed"] %= 1 << 32
    if given.get("top_k") == -1:
        given["top_k"] = 0
    try:
        return replace(defaults, **given)
    except SettingsError as error:
        raise RefusalError(str(error), param=str(error).partition(" ")[0]) from error


def _stops(given: Any) -> tuple[str, ...]:
    stops = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
        raise RefusalError("stop must be text or a list of texts.", param="stop")
    if len(stops) > MOST_STOPS:
        raise RefusalError(f"stop may have {MOST_STOPS} texts at most.", param="stop")
    return tuple(filter(None, stops))


def _bias(given: Mapping[str, Any], n_vocab: int) -> Mapping[int, float]:
    bias = {}
    for token, value in given.items():
        is_id = token.isascii() and token.isdigit() and int(token) < n_vocab
        is_number = isinstance(value, int | float) and math.isfinite(value)
        if not is_id or not is_number or not -100 <= value <= 100:
            raise RefusalError(
                f"logit_bias has {token!r:.20}: {value!r:.20}; it must be token ids and numbers "
                "from -100 to 100.",
                param="logit_bias",
            )
        bias[int(token)] = float(value)
    return bias


def _chat_logprobs(body: Mapping[str, Any]) -> int | None:
    wanted = _typed(body, "logprobs", bool, False)
    top = _whole(body, "top_logprobs", 0, 0, MOST_LOGPROBS)
    if top and not wanted:
        raise RefusalError("top_logprobs needs logprobs: true.", param="top_logprobs")
    return top if wanted else None


def _text_logprobs(body: Mapping[str, Any]) -> int | None:
    value = body.get("logprobs")
    if value is None or value is False:
        return None
    return _whole(body, "logprobs", 0, 0, MOST_LOGPROBS)
