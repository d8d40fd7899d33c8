"""Every command of the documentation exists; it is run, or a comment says why not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import typer
from fences import PAGES, ROOT, Fence, fences, programs, prose
from thorough import cases

from relay_gguf.cli.app import app, bare_resume
from relay_gguf.models.demo import find_demo
from relay_gguf.settings import config_path

NAME = re.compile(r"(?:.*[/\\])?relay-gguf")
FENCES = [fence for page in PAGES for fence in fences(page)]
SHELL = [fence for fence in FENCES if fence.language == "bash"]
RUN = {line: fence for fence in SHELL if not fence.not_run for line in fence.commands}
TRANSCRIPTS = [f for f in FENCES if f.language == "text" and "| relay-gguf chat" in f.text]
OURS = [
    (fence, words)
    for fence in FENCES
    for line in fence.commands
    for words in programs(line)
    if words and NAME.fullmatch(words[0])
]


ROOT_COMMAND: Any = typer.main.get_command(app)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words after `relay-gguf` name, and the words that are left for it."""
    command = ROOT_COMMAND
    while words and hasattr(command, "commands"):
        if words[0] not in command.commands and hasattr(command, "usual"):
            words = [command.usual, *words]  # `synth MODEL` means `synth run MODEL`
        name, *words = words
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
    return command, words


def options(command: Any) -> set[str]:
    """The spellings of a command's options."""
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize(
    ("fence", "words"), OURS, ids=[f"{fence}-{' '.join(words[1:3])}" for fence, words in OURS]
)
def test_a_command_in_a_block_is_parsed_by_the_program(fence: Fence, words: list[str]) -> None:
    command, rest = command_of(words[1:])
    assert not hasattr(command, "commands"), f"which, of {', '.join(command.commands)}?"
    command.make_context(command.name, bare_resume(rest))  # raises a usage error; runs nothing


def test_a_conversion_in_a_block_names_the_files_to_make() -> None:
    """The program refuses one that does not, when it has parsed it."""
    asked = {"-q", "--quant", "--preset", "--target-size", "--target-bpw"}
    conversions = [(fence, words) for fence, words in OURS if words[1] == "convert"]
    assert len(conversions) > 10
    assert [f"{fence}" for fence, words in conversions if not asked & {*words}] == []


def test_commands_in_the_prose_exist_and_have_the_options_that_are_named() -> None:
    wrong = []
    for page in PAGES:
        for code in re.findall(r"`(relay-gguf [^`\n]+)`", prose(page)):
            words = code.replace("\\|", "|").split()[1:]
            if words[0].startswith("-") or words[0] in ("COMMAND", "..."):
                continue
            command, rest = command_of(words)
            named = {word.partition("=")[0] for word in rest if word.startswith("--")}
            wrong += [
                f"{page.name}: {code}: {name}" for name in named - options(command) - {"--help"}
            ]
    assert wrong == []


def test_options_in_the_prose_are_options_of_some_command_or_of_a_program_that_is_named() -> None:
    known = {"--help", "--version"}
    todo = [ROOT_COMMAND]
    while todo:
        command = todo.pop()
        known |= options(command)
        todo += getattr(command, "commands", {}).values()
    known |= {"--no-cache-dir", "--force-reinstall", "--no-deps", "--no-binary"}  # pip's
    known |= {"--strict"}  # mkdocs', too
    script = files("relay_gguf.dataset.recipes") / "train_peft.txt"  # what `recipe` prints
    known |= set(re.findall(r'add\("(--[\w-]+)"', script.read_text("utf-8")))
    unknown = {
        f"{page.name}: {option}"
        for page in PAGES
        for code in re.findall(r"`(--[^`\n]+)`", prose(page))
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
        if option not in known
    }
    assert unknown == set()


@pytest.fixture
def shell(smollm2: Path, tmp_path: Path) -> dict[str, str]:
    """An environment: `relay-gguf` on its path, short replies, plain SmolLM2 as the demo."""
    programs = tmp_path / "bin"
    programs.mkdir()
    shim = programs / "relay-gguf"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m relay_gguf "$@"\n', "utf-8")
    shim.chmod(0o755)
    demo = find_demo()
    demo.folder.mkdir(parents=True)
    demo.path.symlink_to(smollm2)
    report = {"files": [{"bytes": smollm2.stat().st_size}]}
    demo.path.with_suffix(".report.json").write_text(json.dumps(report), "utf-8")
    config_path().parent.mkdir(parents=True)
    config_path().write_text("max_tokens = 4\n", "utf-8")
    return {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a shell prints that runs a command to its end."""
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a Unix shell")
@pytest.mark.parametrize(
    "command", cases(RUN, *[*RUN][:4]), ids=[str(fence) for fence in RUN.values()]
)
def test_a_command_runs(command: str, tmp_path: Path, shell: dict[str, str]) -> None:
    if ".venv/bin/" in command:
        pytest.skip("README's two commands: .ci/run makes an environment with them")
    printed = run(command, tmp_path, shell)
    assert printed
    for shown in (f.text.splitlines() for f in FENCES if f.commands == [command]):
        if headings := [line for line in shown if re.match(r"(?:  type|device) ", line)]:
            assert headings[0].split() in [line.split() for line in printed.splitlines()]


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a Unix shell")
@pytest.mark.parametrize("fence", TRANSCRIPTS, ids=str)
def test_a_transcript_is_what_the_chat_prints_but_for_the_replies(
    fence: Fence, tmp_path: Path, shell: dict[str, str]
) -> None:
    (command,) = fence.commands
    shown = fence.text.splitlines()[1:]
    printed = run(command, tmp_path, shell).splitlines()
    ours = [line for line in shown if not line.startswith("<user>")]
    notices = [line for line in printed if line.startswith(("*", "<anon>"))]
    assert [line for line in notices if not line.startswith("* cut")] == ours
    assert sum(line.startswith("<user>") for line in printed) == len(shown) - len(ours)


def test_the_files_that_pages_name_are_there() -> None:
    """Those of comments too, which say where a command that is not run here is run."""
    pattern = r"(?<![\w./])((?:docs|tests|relay_gguf|convert|quant_presets)/[\w./-]*\w)"
    named = {name for page in PAGES for name in re.findall(pattern, page.read_text("utf-8"))}
    assert {"docs/generate.py", "tests/demo"} <= named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
