"""`relay-gguf serve` with OpenAI's own client over loopback, and beside llama-server.

Run with `-m openai`.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from relay_gguf.models.demo import Demo

pytestmark = pytest.mark.openai

KEY = "s3cret"
COMMAND = [sys.executable, "-m", "relay_gguf", "serve"]
LLAMA_SERVER = """
import json, sys, urllib.request, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.use_jinja, params.warmup, params.verbosity = True, False, -1
params.prefill_assistant = False
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 1024, 1, 2
server = xllamacpp.Server(params)

def ask(path, body):
    request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

found = []
for messages in json.loads(sys.argv[2]):
    text = ask("/apply-template", {"messages": messages})["prompt"]
    tokenized = ask("/tokenize", {"content": text, "add_special": True, "parse_special": True})
    body = {"messages": messages, "max_tokens": 1}
    usage = ask("/v1/chat/completions", body)["usage"]
    found.append({"ids": tokenized["tokens"], "prompt_tokens": usage["prompt_tokens"]})
print(json.dumps(found))
"""
CHATS = [
    [{"role": "user", "content": "hi,  you!"}],
    [
        {"role": "system", "content": "You are Rosa from Lisbon."},
        {"role": "user", "content": "/join #lisbon\n/topic cats\nhi 漢字!"},
        {"role": "assistant", "content": " Hey.\nyou "},
        {"role": "user", "content": "/slap"},
    ],
    [{"role": "user", "content": "/cast a pirate\nwho are you?"}],
]


@pytest.fixture(scope="module")
def model(made_demo: Demo) -> Path:
    (path,) = made_demo.folder.glob("*.gguf")
    return path


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    command = [*COMMAND, str(model), "--port", "0", "--slots", "4", "--api-key", KEY]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        told = server.stderr.readline()
        found = re.search(r"http://\S+/v1", told)
        assert found, told
        yield found[0]
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert server.stderr.read() == ""


@pytest.fixture(scope="module")
def client(address: str) -> Any:
    openai = pytest.importorskip("openai")
    return openai.OpenAI(base_url=address, api_key=KEY, max_retries=0, timeout=60)


def test_chats(client: Any) -> None:
    (model,) = client.models.list().data
    answer = client.chat.completions.create(
        model=model.id, messages=CHATS[2], n=2, seed=1, temperature=0.7, logprobs=True
    )
    assert len(answer.choices) == 2
    assert answer.choices[0].message.content
    assert answer.choices[0].logprobs.content[0].token
    assert answer.usage.prompt_tokens > answer.usage.prompt_tokens_details.cached_tokens >= 0
    again = client.chat.completions.create(model=model.id, messages=CHATS[2])
    assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1


def test_streams(client: Any) -> None:
    stream = client.chat.completions.create(
        model="any", messages=CHATS[0], stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage.completion_tokens > 0
    text = client.completions.create(
        model="any", prompt="<|im_start|>anon\nhi<|im_end|>\n<|im_start|>user\n", stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in text)


def test_errors(client: Any, address: str) -> None:
    openai = pytest.importorskip("openai")
    with pytest.raises(openai.BadRequestError, match="temperature is -1"):
        client.chat.completions.create(model="any", messages=CHATS[0], temperature=-1)
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="any", prompt="word " * 9000)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=address, api_key="wrong", max_retries=0).models.list()


def test_closing_a_stream_cancels_its_reply(client: Any, address: str) -> None:
    openai = pytest.importorskip("openai")
    endless = {"max_tokens": 3000, "temperature": 2, "logit_bias": {str(n): -100 for n in range(3)}}
    for _ in range(8):  # more than there are slots
        stream = client.completions.create(model="any", prompt="a", stream=True, **endless)
        next(iter(stream))
        stream.close()
    impatient = openai.OpenAI(base_url=address, api_key=KEY, max_retries=0, timeout=1)
    with pytest.raises(openai.APITimeoutError):
        impatient.completions.create(model="any", prompt="a", **endless)
    metrics = ""
    for _ in range(100):
        metrics = client.get("/../metrics", cast_to=str)
        if "relay_replies_in_progress 0" in metrics:
            return
        time.sleep(0.1)
    raise AssertionError(metrics)


def test_eight_at_once(client: Any) -> None:
    def ask(number: int) -> str:
        messages = [{"role": "user", "content": f"/join #room{number}\nhi! who is here?"}]
        answer = client.chat.completions.create(model="any", messages=messages, seed=number)
        return str(answer.choices[0].message.content)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


def test_prompts_are_llama_servers_to_the_id(model: Path, client: Any) -> None:
    if find_spec("xllamacpp") is None:
        pytest.skip("there is no xllamacpp")
    command = [sys.executable, "-c", LLAMA_SERVER, str(model), json.dumps(CHATS)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    from relay_gguf import LlamaEngine
    from relay_gguf.gguf_file.gguf_model import read_gguf
    from relay_gguf.serve.chat_prompt import PromptMaker

    with LlamaEngine(model) as engine:
        template = read_gguf(model).metadata["tokenizer.chat_template"].value
        maker = PromptMaker(engine, str(template))
        for messages, found in zip(CHATS, theirs, strict=True):
            assert maker.ids(maker.render(messages)) == found["ids"]
            answer = client.chat.completions.create(model="any", messages=messages, max_tokens=1)
            assert answer.usage.prompt_tokens == found["prompt_tokens"]
