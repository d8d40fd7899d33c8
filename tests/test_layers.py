"""Who may import whom, and how little `import relay_gguf` and --help load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import relay_gguf
from relay_gguf import convert

CONVERTER = {path.stem: path for path in Path(convert.__path__[0]).glob("*.py")}
SOURCES = {path.stem: path for path in Path(relay_gguf.__file__).parent.glob("*.py")}


def imports(path: Path) -> set[str]:
    """Modules that a file imports while it is run, ours by their own name with a dot."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {f".{name}" for name in names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


OURS = {name: {i for i in imports(path) if i.startswith(".")} for name, path in SOURCES.items()}


@pytest.mark.parametrize("name", ["messages", "commands"])
def test_rules_know_nothing_but_errors(name: str) -> None:
    assert OURS[name] <= {".errors", ".messages"}


def test_one_place_imports_llama_cpp() -> None:
    paths = {**SOURCES, **{f"convert.{name}": path for name, path in CONVERTER.items()}}
    assert not [name for name, path in paths.items() if "llama_cpp" in imports(path)]
    named = [name for name, path in paths.items() if '"llama_cpp"' in path.read_text("utf-8")]
    assert named == ["native"]  # which finds what it needs first


def test_who_calls_llama_cpp() -> None:
    users = {name for name, ours in OURS.items() if ".native" in ours}
    assert users == {"kv_cache", "llama", "llama_devices", "llama_load", "llama_log", "llama_vocab"}


def test_the_files_called_hub_import_the_hubs_library() -> None:
    package = Path(relay_gguf.__file__).parent
    paths = [*package.rglob("*.py"), *CONVERTER.values()]
    users = {path.stem for path in paths if "huggingface_hub" in imports(path)}
    assert users == {"hub", "hub_cache", "hub_file"}


def test_one_file_draws_on_the_terminal() -> None:
    users = {name for name, path in SOURCES.items() if "prompt_toolkit" in imports(path)}
    assert users == {"terminal", "inputline", "display"}  # the others read keys, measure text


@pytest.mark.parametrize("name", ["relay", "session", "actions", "transcript", "prompt", "engine"])
def test_the_session_is_free_of_any_front_end(name: str) -> None:
    assert not OURS[name] & {".terminal", ".plain", ".chat", ".cli", ".display", ".settings"}


def test_chatting_needs_nothing_of_converting() -> None:
    users = {name for name, ours in OURS.items() if any(i.startswith(".convert") for i in ours)}
    # cli mounts the commands, which load the rest when they are run; demo makes its model, once.
    assert users == {"cli", "demo"}


def test_one_file_of_the_converter_calls_llama_cpp() -> None:
    text = "from relay_gguf.native import"
    users = {name for name, path in CONVERTER.items() if text in path.read_text("utf-8")}
    assert users == {"ggml"}


def test_converting_needs_nothing_of_chatting() -> None:
    chatting = ("chat", "session", "actions", "terminal", "plain", "relay", "llama", "settings")
    modules = {f"relay_gguf.{name}" for name in chatting}
    for path in CONVERTER.values():
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        assert not modules & {str(n.module) for n in nodes if isinstance(n, ast.ImportFrom)}, path


def test_the_other_faces_are_mounted_by_the_command_line_alone() -> None:
    """The IRC network and the data sets: nothing of the chat needs them."""
    for name, ours in OURS.items():
        others = {i for i in ours if i.startswith((".irc", ".dataset"))}
        assert not others or name == "cli", name
    for path in CONVERTER.values():
        assert "relay_gguf.irc" not in (text := path.read_text("utf-8")), path
        assert "relay_gguf.dataset" not in text, path


def test_nothing_imports_the_command_line() -> None:
    assert [name for name, ours in OURS.items() if ".cli" in ours] == ["__main__"]


def test_files_stay_short() -> None:
    package = Path(relay_gguf.__file__).parent
    paths = [*package.rglob("*.py"), *CONVERTER.values()]
    lengths = {str(path): len(path.read_text("utf-8").splitlines()) for path in paths}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


@pytest.mark.parametrize("code", ["import relay_gguf", "import relay_gguf.cli"])
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
