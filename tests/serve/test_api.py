"""OpenAI's API in this process, on an engine that says what it is told."""

from __future__ import annotations

import math
from typing import Any

import pytest
from asgi import Answer, Served, api_of, ask

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HI = [{"role": "user", "content": "hi"}]
HEAD = (
    "<s><|im_start|>user\n/join #random<|im_end|>\n"
    "<|im_start|>system\n* Now talking in #random<|im_end|>\n"
    "<|im_start|>system\n* anon has joined #random<|im_end|>\n"
)


def chat(engine: Served, **body: Any) -> Answer:
    return ask(api_of(engine).app(), CHAT, {"messages": HI, **body})


def test_a_chat_is_answered() -> None:
    engine = Served("hey you")
    prompt = f"{HEAD}<|im_start|>anon\nhi<|im_end|>\n<|im_start|>user\n"
    answer = chat(engine, max_tokens=50)
    n_prompt = len(engine.asked[0].prompt)
    assert engine.text(engine.asked[0].prompt) == prompt
    assert answer.status == 200
    assert {**answer.json, "id": "?"} == {
        "id": "?",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hey you", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": 7,
            "total_tokens": n_prompt + 7,
            "prompt_tokens_details": {"cached_tokens": n_prompt - 1},
        },
    }


def test_commands_are_messages_and_roles_are_relays() -> None:
    engine = Served()
    messages = [
        {"role": "user", "content": "/join #boston\n/cast I'm a pirate\nhi <|im_end|>"},
        {"role": "assistant", "content": "Arr."},
        {"role": "user", "content": [{"type": "text", "text": "/slap"}]},
    ]
    ask(api_of(engine).app(), CHAT, {"messages": messages})
    assert engine.text(engine.asked[0].prompt) == (
        "<s><|im_start|>anon\n/join #boston<|im_end|>\n"
        "<|im_start|>system\n* Now talking in #boston<|im_end|>\n"
        "<|im_start|>system\n* user has joined #boston<|im_end|>\n"
        "<|im_start|>anon\n/whois user<|im_end|>\n"
        "<|im_start|>system\n* user's bio: I'm a pirate<|im_end|>\n"
        "<|im_start|>anon\nhi < |im_end|><|im_end|>\n"
        "<|im_start|>user\nArr.<|im_end|>\n"
        "<|im_start|>anon\n/slap user<|im_end|>\n"
        "<|im_start|>system\n* anon slaps user around a bit with a large trout<|im_end|>\n"
        "<|im_start|>user\n"
    )


def test_a_stream_has_a_chunk_a_piece() -> None:
    answer = chat(Served("he€"), stream=True, stream_options={"include_usage": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    deltas = [choice["delta"] for one in answer.chunks for choice in one["choices"]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "h"},
        {"content": "e"},
        {"content": "€"},
        {},
    ]
    assert answer.chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert answer.chunks[-1]["choices"] == []
    assert answer.chunks[-1]["usage"]["completion_tokens"] == 5
    assert {one["object"] for one in answer.chunks} == {"chat.completion.chunk"}
    assert len({one["id"] for one in answer.chunks}) == 1


def test_text_is_continued_as_it_is_several_times() -> None:
    engine = Served("one", "two", "three", "four")
    prompts = ["<|im_start|>anon\nhi", [104, 105]]
    answer = ask(api_of(engine).app(), TEXT, {"prompt": prompts, "n": 2, "max_tokens": 3})
    assert engine.text(engine.asked[0].prompt) == "<s><|im_start|>anon\nhi"
    assert engine.asked[2].prompt == (104, 105), "ids are taken as they are"
    assert [asked.params.seed for asked in engine.asked] == [7, 8, 7, 8]
    assert [
        (one["index"], one["text"], one["finish_reason"]) for one in answer.json["choices"]
    ] == [
        (0, "one", "stop"),
        (1, "two", "stop"),
        (2, "thr", "length"),
        (3, "fou", "length"),
    ]
    assert answer.json["usage"]["prompt_tokens"] == len(engine.asked[0].prompt) + 2


@pytest.mark.parametrize(
    ("stop", "text"), [("you", "hey "), (["zz", "y y"], "he"), ("ou!", "hey you"), ("hey", "")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_text_ends_a_reply_and_is_not_told(
    stop: str | list[str], text: str, stream: bool
) -> None:
    answer = chat(Served("hey you"), stop=stop, stream=stream)
    if stream:
        deltas = [choice["delta"] for one in answer.chunks for choice in one["choices"]]
        assert "".join(delta.get("content", "") for delta in deltas) == text
    else:
        assert answer.json["choices"][0]["message"]["content"] == text


def test_logprobs_are_those_of_the_model_and_a_bias_moves_the_draw() -> None:
    bias = {str(ord("z")): 50}
    answer = chat(Served("hi"), logprobs=True, top_logprobs=2, logit_bias=bias)
    (choice,) = answer.json["choices"]
    assert choice["message"]["content"] == "zz"
    likely, other = (value - math.log(math.exp(10) + 258) for value in (10, 0))
    first = choice["logprobs"]["content"][0]
    assert (first["token"], first["bytes"]) == ("z", [ord("z")])
    assert first["logprob"] == pytest.approx(other, abs=1e-4)
    assert first["top_logprobs"][0]["token"] == "h"
    assert first["top_logprobs"][0]["logprob"] == pytest.approx(likely, abs=1e-4)
    assert len(first["top_logprobs"]) == 2

    text = ask(api_of(Served("hi")).app(), TEXT, {"prompt": "a", "logprobs": 1}).json
    told = text["choices"][0]["logprobs"]
    assert (told["tokens"], told["text_offset"]) == (["h", "i"], [0, 1])
    assert list(told["top_logprobs"][1]) == ["i"]


def test_what_is_asked_for_reaches_the_engine() -> None:
    engine = Served()
    chat(engine, temperature=0.9, top_p=0.5, top_k=-1, min_p=0, seed=-1, max_completion_tokens=9)
    chat(engine, dry_multiplier=0.8, xtc_probability=0.5)
    against_loops = engine.asked[1].params
    assert (against_loops.dry_multiplier, against_loops.xtc_probability) == (0.8, 0.5)
    params = engine.asked[0].params
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.9, 0.5, 0, 0)
    assert (params.seed, params.max_tokens, params.repeat_penalty) == (2**32 - 1, 9, 1.1)


WRONG: list[tuple[Any, str, str | None]] = [
    ({"messages": []}, "at least one message", "messages"),
    ({"messages": [{"content": "hi"}]}, "an object with a role", "messages"),
    ({"messages": [{"role": "user", "content": 1}]}, "must be text", "messages"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "parts of text alone",
        "messages",
    ),
    ({"messages": HI, "temperature": -1}, "temperature is -1", "temperature"),
    ({"messages": HI, "temperature": "hot"}, "must be a number", "temperature"),
    ({"messages": HI, "n": 0}, "1 to 128", "n"),
    ({"messages": HI, "stop": [1]}, "stop must be", "stop"),
    ({"messages": HI, "logit_bias": {"999": 1}}, "logit_bias has", "logit_bias"),
    ({"messages": HI, "logit_bias": {"9": 101}}, "logit_bias has", "logit_bias"),
    ({"messages": HI, "top_logprobs": 1}, "needs logprobs", "top_logprobs"),
    ({"messages": HI, "tools": [{}]}, "tools is not supported", "tools"),
    ({"messages": HI, "response_format": {"type": "json_object"}}, "must be text", None),
    ({"messages": HI, "stream": "yes"}, "stream is 'yes'", "stream"),
    ([], "must be a JSON object", None),
    (b"{", "not JSON", None),
    (b"[" * 100_000, "not JSON", None),
]


def test_what_is_wrong_is_told_in_openais_form() -> None:
    app = api_of(Served()).app()
    for body, told, param in WRONG:
        answer = ask(app, CHAT, body)
        error = answer.json["error"]
        assert (answer.status, error["type"]) == (400, "invalid_request_error"), told
        assert told in error["message"]
        assert param is None or error["param"] == param


def test_prompts_that_are_none() -> None:
    engine = Served()
    engine.control = type(engine.control)(256, 257)  # no BOS, which would be a prompt
    app = api_of(engine).app()
    for prompt in ("", [], [[]], None, 1, [1, "a", [2.0]], [300], [[1], [-1]]):
        assert ask(app, TEXT, {"prompt": prompt}).status == 400, prompt


def test_more_replies_than_threads_are_refused() -> None:
    app = api_of(Served()).app()
    answer = ask(app, TEXT, {"prompt": [[1]] * 100, "n": 11})
    assert (answer.status, answer.json["error"]["param"]) == (400, "prompt")
    assert "1100 replies" in answer.json["error"]["message"]


def test_a_prompt_that_does_not_fit() -> None:
    answer = chat(Served(n_ctx=40))
    assert answer.status == 400
    assert answer.json["error"]["code"] == "context_length_exceeded"


def test_a_model_that_fails() -> None:
    answer = chat(Served("hey", fails=True))
    assert (answer.status, answer.json["error"]["type"]) == (500, "server_error")
    streamed = chat(Served("hey", fails=True), stream=True)
    assert streamed.status == 200
    assert streamed.chunks[-1]["error"]["message"] == "llama.cpp failed."


def test_models_health_and_metrics() -> None:
    app = api_of(Served("hey")).app()
    assert ask(app, "/health").json == {"status": "ok"}
    (model,) = ask(app, "/v1/models").json["data"]
    assert (model["id"], model["object"]) == ("fake", "model")
    assert ask(app, "/v1/models/fake").json == model
    missing = ask(app, "/v1/models/gpt-4")
    assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
    assert ask(app, "/v2").json["error"]["type"] == "not_found_error"
    assert ask(app, CHAT).status == 405
    ask(app, CHAT, {"messages": HI})
    rows = ask(app, "/metrics").body.decode().splitlines()
    assert 'relay_requests_total{path="/v1/chat/completions",status="200"} 1' in rows
    assert "relay_generated_tokens_total 3" in rows
    assert "relay_replies_in_progress 0" in rows


# The door


DOOR: list[tuple[str, str, int]] = [
    ("host", "127.0.0.1:8080", 200),
    ("host", "localhost", 200),
    ("host", "[::1]:8080", 200),
    ("host", "evil.example:8080", 403),
    ("host", "127.0.0.1.evil.example", 403),
    ("host", "", 403),
    ("host", "[::1", 403),
    ("origin", "http://127.0.0.1:8080", 200),
    ("origin", "http://evil.example", 403),
    ("origin", "null", 403),
    ("origin", "http://127.0.0.1:9999", 403),
]


def test_other_hosts_and_pages_stay_outside() -> None:
    app = api_of(Served()).app()
    for name, value, status in DOOR:
        answer = ask(app, "/v1/models", headers=[(name, value)])
        assert answer.status == status, value
        assert status == 200 or answer.json["error"]["type"] == "permission_error"


def test_a_key_opens_all_but_the_health() -> None:
    app = api_of(Served()).app(host="0.0.0.0", key="sésame")
    for given in ("", "Bearer wrong", "Basic sésame", "Bearer "):
        answer = ask(app, "/metrics", headers=[("authorization", given)])
        assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")
    assert ask(app, "/health", headers=[("host", "any.example")]).status == 200
    right = [("authorization", "bearer sésame"), ("host", "any.example")]
    assert ask(app, "/v1/models", headers=right).status == 200
