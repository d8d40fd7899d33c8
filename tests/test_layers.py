"""Who may import whom, and how little `import relay_gguf` and --help load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import relay_gguf
from relay_gguf import convert
from relay_gguf import quant_presets as presets

PACKAGE = Path(relay_gguf.__file__).parent


def sources() -> Iterator[tuple[str, Path]]:
    """Our modules by their names within the package, `llama.load`."""
    folders = {"": PACKAGE}  # two of which the source tree has beside the package
    folders |= {
        f"{m.__name__.rpartition('.')[2]}.": Path(m.__path__[0]) for m in (convert, presets)
    }
    for prefix, folder in folders.items():
        for path in folder.rglob("*.py"):
            inner = path.relative_to(folder).with_suffix("").parts
            name = prefix + ".".join(part for part in inner if part != "__init__")
            yield name.removesuffix("."), path


def imports(path: Path, package: str) -> set[str]:
    """What a file imports: others' packages, and our modules with a dot before their names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                assert node.level == 1, "upwards by the whole name"
                module = ".".join(filter(None, ("relay_gguf", package, module)))
            if module.partition(".")[0] != "relay_gguf":
                found.add(module.partition(".")[0])
                continue
            ours = module.removeprefix("relay_gguf")
            found |= {ours} | {f"{ours}.{alias.name}" for alias in node.names}
    return found


SOURCES = dict(sources())
IMPORTS = {
    name: imports(path, name if path.stem == "__init__" else name.rpartition(".")[0])
    for name, path in SOURCES.items()
}


def users(*modules: str) -> set[str]:
    """Who imports one of these, or something of theirs."""
    inside = tuple(f"{module}." for module in modules)
    return {
        name
        for name, found in IMPORTS.items()
        if any(module in modules or module.startswith(inside) for module in found)
    }


def within(package: str) -> set[str]:
    return {name for name in SOURCES if f"{name}.".startswith(f"{package}.")}


@pytest.mark.parametrize("name", ["conversation.messages", "conversation.commands"])
def test_rules_know_nothing_but_errors(name: str) -> None:
    others = {f".{other}" for other in SOURCES} - {
        ".",
        ".errors",
        ".conversation",
        ".conversation.messages",
    }
    assert not IMPORTS[name] & others


def test_one_place_imports_llama_cpp() -> None:
    assert not users("llama_cpp")
    named = [name for name, path in SOURCES.items() if '"llama_cpp"' in path.read_text("utf-8")]
    # which finds what it needs first; the other one looks at the sizes of its files
    assert sorted(named) == ["doctor.fingerprint", "llama.native"]


def test_who_calls_llama_cpp() -> None:
    assert users(".llama.native") <= within("llama") | {"convert.quantize.ggml"}


def test_who_imports_the_hubs_library() -> None:
    assert users("huggingface_hub") == {"hub.api", "hub.cache", "hub.file"}


def test_one_file_draws_on_the_terminal() -> None:
    # the others read keys, measure text
    assert users("prompt_toolkit") == {"chat.terminal", "chat.inputline", "display"}


def test_the_conversation_is_free_of_any_front_end() -> None:
    free = within("conversation") | {"relay", "engine", "sampling"}
    assert not free & users(".chat", ".cli", ".display", ".settings", ".irc")


def test_plans_are_arithmetic() -> None:
    assert not within("fit") & users("os", "psutil", ".llama", ".models", ".settings")


def test_chatting_needs_nothing_of_converting() -> None:
    assert users(".convert") - within("convert") - within("cli") == {"quant_presets"}


def test_converting_needs_nothing_of_chatting() -> None:
    chatting = users(".chat", ".conversation.session", ".relay", ".llama.engine", ".settings")
    assert not within("convert") & chatting


def test_the_other_faces_are_mounted_by_the_command_line_alone() -> None:
    """The IRC network and the data sets: nothing of the chat needs them."""
    assert users(".irc") - within("irc") == {"cli.irc"}
    assert users(".dataset") - within("dataset") == {"cli.dataset"}


def test_nothing_imports_the_command_line() -> None:
    assert users(".cli") - within("cli") == {"__main__", "models.demo", "models.opening"}


def test_files_stay_short() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in SOURCES.items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_folders_tell_what_is_in_them() -> None:
    """Each file and folder in a folder is named in the docstring of its `__init__.py`."""
    for folder in {name.rpartition(".")[0] for name in SOURCES} - {"", "convert"}:
        told = SOURCES[folder].read_text("utf-8")
        inside = {n.rpartition(".")[2] for n in SOURCES if n.rpartition(".")[0] == folder}
        assert not [name for name in inside if not re.search(rf"\b{name}\b", told)], folder


@pytest.mark.parametrize("code", ["import relay_gguf", "import relay_gguf.cli.app"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    heavy = "{'llama_cpp', 'numpy', 'prompt_toolkit', 'huggingface_hub', 'rich'}"
    check = f"{code}; import sys; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_public_names() -> None:
    for name in relay_gguf.__all__:
        assert getattr(relay_gguf, name) is not None
    assert set(relay_gguf.__all__) <= set(dir(relay_gguf))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = relay_gguf.nothing


def test_the_source_tree_runs_too() -> None:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "relay_gguf", "presets", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert '"preset": "relay"' in run.stdout
