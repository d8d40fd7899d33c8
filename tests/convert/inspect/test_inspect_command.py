"""`relay-gguf inspect`, as it is typed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tiny_gguf import TOKENS, good_keys, write
from typer.testing import CliRunner

from relay_gguf.cli.convert.publish import inspect as inspect_command
from relay_gguf.convert.inspect.finding import Finding, has_problem
from relay_gguf.errors import ModelError

APP = typer.Typer()
APP.command()(inspect_command)


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_strict_exits_with_1_on_a_problem(tmp_path: Path) -> None:
    good = write(tmp_path / "good.gguf")
    bad = write(tmp_path / "bad.gguf", lacking=1)
    noted = write(tmp_path / "noted.gguf", good_keys() | {"llama.context_length": 2048})
    assert [run(path, "--strict")[0] for path in (good, noted, bad)] == [0, 0, 1]
    assert [run(path)[0] for path in (good, noted, bad)] == [0, 0, 0]
    assert run(bad, "--strict")[1].endswith("\n1 problem.\n")
    with pytest.raises(ModelError, match="There is no file"):
        run(tmp_path / "none.gguf")


def test_the_json_has_the_same_facts_for_a_program(tmp_path: Path) -> None:
    keys = good_keys() | {"general.sampling.temp": math.inf, "general.name": "Evil\x1b[2J\udcff"}
    code, printed = run(write(tmp_path / "tiny.gguf", keys), "--json", "--strict")
    assert code == 1
    assert printed.isascii()
    found = json.loads(printed, parse_constant=None)
    assert "Infinity" not in printed
    assert found["name"] == keys["general.name"]
    assert found["tensors"]["Q8_0"] == {"count": 1, "bytes": 272}
    assert found["memory"] == {"weights": 38544, "cache": 262144, "work": 157286400}
    assert found["relay"]["adapter"] == "o/tiny-relay"
    assert found["base_models"][0]["name"] == "Tiny"
    assert found["template"] == "relay"
    assert found["ok"] is False
    assert [f["level"] for f in found["findings"]].count("problem") == 1


def test_a_terminal_obeys_nothing_in_a_file(tmp_path: Path) -> None:
    keys = good_keys() | {
        "general.name": "a\x1b]0;x\x07\nproblem  b",
        "general.license": "\u202egnp\x9b1m",
        "general.sampling.sequence": "\x1b[31m",
        "tokenizer.ggml.tokens": ["\x1b[1m", "\x1b[1m", *TOKENS[:6]],
    }
    _, printed = run(write(tmp_path / "tiny.gguf", keys))
    assert not set(printed) & set("\x1b\x07\x9b\u202e\r")
    assert "name          a^[]0;x^G problem b\n" in printed


def test_the_commands_load_nothing_heavy() -> None:
    heavy = "{'llama_cpp', 'numpy', 'gguf', 'yaml', 'huggingface_hub', 'rich', 'prompt_toolkit'}"
    code = f"import relay_gguf.cli.convert.publish, sys; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_problems_are_found() -> None:
    assert not has_problem([Finding("ok", "x", ""), Finding("note", "x", "")])
    assert has_problem([Finding("ok", "x", ""), Finding("problem", "x", "")])
