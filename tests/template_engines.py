"""The engines in which apps render chat templates, as far as this machine has them.

Run as a program with a model's path, it is llama-server: it reads a template and contexts from
standard input, and writes what they render to.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

Context = dict[str, Any]
"""What an app gives a template: messages, bos_token, add_generation_prompt, ..."""
Engine = Callable[[str, Sequence[Context]], list[str]]
"""Renders a template in each of some contexts."""

NODE = """
const { Template } = require("@huggingface/jinja");
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const template = new Template(input.template);
console.log(JSON.stringify(input.contexts.map((context) => template.render(context))));
"""


def sandboxed(*, trim: bool) -> Engine:
    """Python's: llama-cpp-python and transformers trim blocks, others do not."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=trim, lstrip_blocks=trim, autoescape=False
    )

    parse = cache(environment.from_string)

    def render(template: str, contexts: Sequence[Context]) -> list[str]:
        return [parse(template).render(context) for context in contexts]

    return render


def huggingface(template: str, contexts: Sequence[Context]) -> list[str]:
    """LM Studio's and node-llama-cpp's, in node."""
    return _run(["node", "-e", NODE], template, contexts)


def no_huggingface() -> str:
    """Why it cannot run here; empty if it can."""
    if shutil.which("node") is None:
        return "there is no node"
    found = subprocess.run(
        ["node", "-e", 'require("@huggingface/jinja")'], capture_output=True, check=False
    )
    return "node finds no @huggingface/jinja; NODE_PATH says where" if found.returncode else ""


def llama_server(model: Path) -> Engine:
    """llama.cpp's, behind /apply-template; BOS is the model's."""

    def render(template: str, contexts: Sequence[Context]) -> list[str]:
        return _run([sys.executable, __file__, str(model)], template, contexts)

    return render


def no_llama_server() -> str:
    """Why it cannot run here; empty if it can."""
    return "" if find_spec("xllamacpp") else "there is no xllamacpp"


def _run(command: Sequence[str], template: str, contexts: Sequence[Context]) -> list[str]:
    given = json.dumps({"template": template, "contexts": contexts})
    done = subprocess.run(command, input=given, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rendered: list[str] = json.loads(done.stdout)
    return rendered


def _serve(model: str) -> None:
    """Be llama-server; in a process of its own, for it shares llama.cpp's names with llama_cpp."""
    llama = import_module("xllamacpp")
    given = json.load(sys.stdin)
    params = llama.CommonParams()
    params.model.path = model
    params.chat_template = given["template"]
    params.use_jinja = True
    params.prefill_assistant = False
    params.warmup = False
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 256, 1, 1
    params.verbosity = -1
    server = llama.Server(params)
    rendered = []
    for context in given["contexts"]:
        body = {
            "messages": context["messages"],
            "add_generation_prompt": context["add_generation_prompt"],
            "chat_template_kwargs": {k: v for k, v in context.items() if k.startswith("relay_")},
        }
        request = urllib.request.Request(
            f"{server.listening_address}/apply-template",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            rendered.append(json.load(answer)["prompt"])
    json.dump(rendered, sys.stdout)


if __name__ == "__main__":
    _serve(sys.argv[1])
