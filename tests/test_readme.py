"""README's two commands are single lines that pip and CMake understand."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_both_commands_are_single_lines_that_pip_understands() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)[:2]
    assert [block.count("\n") for block in blocks] == [1, 1]
    extras = [re.findall(r"'\.\[(\w+)\]'", block) for block in blocks]
    assert extras == [["demo"], ["test"]]
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(f"\n{extra} = [" in pyproject for (extra,) in extras)


@pytest.mark.skipif(sys.platform == "win32", reason="there are lines for PowerShell")
@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/install.md"])
@pytest.mark.parametrize("folder", ["plain", "it's my folder"])
def test_commands_that_compile_tell_cmake_of_our_file(
    page: str, folder: str, tmp_path: Path
) -> None:
    """pip's backend splits CMAKE_ARGS as a shell would, whatever the clone's folder is called."""
    clone = tmp_path / folder
    (clone / "relay_gguf").mkdir(parents=True)
    (clone / "relay_gguf" / "llama").symlink_to(ROOT / "relay_gguf" / "llama")
    text = (ROOT / page).read_text("utf-8")
    commands = re.findall(r"(?m)^(?:.*&& )?(CMAKE_ARGS=.*?) \.venv/bin/pip install (.*)$", text)
    assert commands
    for variable, arguments in commands:
        assert "--no-cache-dir" in arguments
        shown = subprocess.run(
            ["sh", "-c", f"{variable} printenv CMAKE_ARGS"],
            cwd=clone,
            capture_output=True,
            check=True,
            text=True,
        )
        flag, *_ = shlex.split(shown.stdout)
        name, _, path = flag.partition("=")
        assert name == "-DCMAKE_PROJECT_llama_cpp_INCLUDE"
        assert Path(path).samefile(ROOT / "relay_gguf" / "llama" / "build.cmake")
