"""README tells the truth: its table of commands, its tree, its two commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from relay_gguf.conversation.commands import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def command_table() -> str:
    """README's table of commands, as the registry has it."""
    rows = [f"| `{c.usage}` | {c.help} |" for c in COMMANDS.values()]
    return "\n".join(["| command | |", "|---|---|", *rows])


def test_the_table_of_commands_is_the_registry() -> None:
    assert command_table() in README


def test_the_tree_names_every_file_and_folder() -> None:
    tree = README.partition("## How it is built")[2]
    tops = (ROOT / "relay_gguf", ROOT / "convert")
    paths = [path for top in tops for path in top.glob("[a-z]*") if path.name != "py.typed"]
    names = {path.name.removesuffix(".py") for path in paths}
    assert {name for name in names if not re.search(rf"\b{re.escape(name)}\b", tree)} == set()


def test_both_commands_are_single_lines_that_pip_understands() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)[:2]
    assert [block.count("\n") for block in blocks] == [1, 1]
    extras = [re.findall(r"'\.\[(\w+)\]'", block) for block in blocks]
    assert extras == [["demo"], ["test"]]
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(f"\n{extra} = [" in pyproject for (extra,) in extras)


@pytest.mark.skipif(sys.platform == "win32", reason="there are lines for PowerShell")
@pytest.mark.parametrize("folder", ["plain", "it's my folder"])
def test_both_commands_tell_cmake_of_our_file(folder: str, tmp_path: Path) -> None:
    """pip's backend splits CMAKE_ARGS as a shell would, whatever the clone's folder is called."""
    clone = tmp_path / folder
    (clone / "relay_gguf").mkdir(parents=True)
    (clone / "relay_gguf" / "llama").symlink_to(ROOT / "relay_gguf" / "llama")
    commands = re.findall(r"&& (CMAKE_ARGS=.*?) \.venv/bin/pip install (.*?) '", README)
    assert [options for _, options in commands] == ["--no-cache-dir"] * 2
    for variable, _ in commands:
        shown = subprocess.run(
            ["sh", "-c", f"{variable} printenv CMAKE_ARGS"],
            cwd=clone,
            capture_output=True,
            check=True,
            text=True,
        )
        (flag,) = shlex.split(shown.stdout)
        name, _, path = flag.partition("=")
        assert name == "-DCMAKE_PROJECT_llama_cpp_INCLUDE"
        assert Path(path).samefile(ROOT / "relay_gguf" / "llama" / "build.cmake")
