"""A converted file in llama-server, as any app runs it: commands are messages."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SERVER = """
import json, sys, urllib.request, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.use_jinja, params.warmup, params.verbosity = True, False, -1
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 1024, 1, 2
server = xllamacpp.Server(params)

def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.listening_address + path, data)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

print(json.dumps({
    "props": ask("/props"),
    "answers": [ask("/v1/chat/completions", body) for body in json.loads(sys.argv[2])],
}))
"""
SCENES: dict[str, tuple[list[str], str]] = {
    "a channel": (["/join #naples\n\nhi! where are you from?"], "naples"),
    "a bio": (["/cast I'm a dentist from Madrid.\n\nwhere are you from?"], "madrid"),
    "commands one by one": (["/join #naples", "hi! where are you from?"], "naples"),
    "a slap": (["/slap"], ""),
}


@pytest.fixture(scope="module")
def served(real_files: Path) -> dict[str, Any]:
    if find_spec("xllamacpp") is None:
        pytest.skip("there is no xllamacpp")
    bodies = []
    for lines, _ in SCENES.values():
        messages = [{"role": "user", "content": line} for line in lines]
        if len(lines) > 1:  # an app always lets the model speak
            messages.insert(1, {"role": "assistant", "content": "hey"})
        bodies.append({"messages": messages, "seed": 1, "max_tokens": 40})
    file = real_files / "relay-smollm2-135m-Q8_0.gguf"
    command = [sys.executable, "-c", SERVER, str(file), json.dumps(bodies)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.thorough
@pytest.mark.parametrize("scene", SCENES)
def test_llama_server_answers_in_role(scene: str, served: dict[str, Any]) -> None:
    (choice,) = served["answers"][list(SCENES).index(scene)]["choices"]
    said = choice["message"]["content"]
    assert said.strip()
    assert SCENES[scene][1] in said.lower()
    assert "<|" not in said
    assert choice["finish_reason"] == "stop", "the end of a turn is known"


@pytest.mark.thorough
def test_llama_server_samples_as_the_file_says(served: dict[str, Any]) -> None:
    defaults = served["props"]["default_generation_settings"]["params"]
    found = {name: round(defaults[name], 4) for name in ("temperature", "top_p", "min_p")}
    assert found == {"temperature": 0.3, "top_p": 0.95, "min_p": 0.05}
    assert (defaults["top_k"], defaults["repeat_last_n"]) == (40, 4096)
    assert round(defaults["repeat_penalty"], 4) == 1.1
    assert defaults["samplers"] == ["penalties", "temperature", "top_k", "top_p", "min_p"]
    assert served["props"]["chat_template"].startswith("{#- Relay chat template")
