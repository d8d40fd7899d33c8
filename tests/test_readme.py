"""README tells the truth: its table of commands, its tree, its two commands."""

from __future__ import annotations

import re
from pathlib import Path

from relay_gguf.commands import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def command_table() -> str:
    """README's table of commands, as the registry has it."""
    rows = [f"| `{c.usage}` | {c.help} |" for c in COMMANDS.values()]
    return "\n".join(["| command | |", "|---|---|", *rows])


def test_the_table_of_commands_is_the_registry() -> None:
    assert command_table() in README


def test_the_tree_names_every_module() -> None:
    tree = README.partition("## How it is built")[2]
    folders = (ROOT / "relay_gguf", ROOT / "convert")
    modules = {path.stem for folder in folders for path in folder.glob("[a-z]*.py")}
    assert {name for name in modules if not re.search(rf"\b{name}\b", tree)} == set()


def test_both_commands_are_single_lines_that_pip_understands() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)[:2]
    assert [block.count("\n") for block in blocks] == [1, 1]
    extras = [re.findall(r"'\.\[(\w+)\]'", block) for block in blocks]
    assert extras == [["demo"], ["test"]]
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(f"\n{extra} = [" in pyproject for (extra,) in extras)
