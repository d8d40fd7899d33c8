"""Who may import whom, how little `import relay_gguf` and --help load, and how large files grow."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from imports import ROOT, circles, graph, imports, levels, sources, upward

import relay_gguf


def _inner(names: set[str]) -> set[str]:
    """Names of ours without the package's own: `llama.load`."""
    return {name.removeprefix("relay_gguf.") for name in names}


FILES = sources()
MODULES = {name.removeprefix("relay_gguf."): path for name, path in FILES.items()}
NAMED = {name.removeprefix("relay_gguf."): imports(name, path) for name, path in FILES.items()}
GRAPH = {name.removeprefix("relay_gguf."): _inner(to) for name, to in graph(FILES).items()}


def within(*folders: str) -> set[str]:
    """The modules of folders, or single modules."""
    return {name for name in MODULES if any(f"{name}.".startswith(f"{f}.") for f in folders)}


def users(*modules: str) -> set[str]:
    """Who imports one of these modules of ours, or a module inside them."""
    wanted = within(*modules)
    assert wanted, modules
    return {name for name, found in GRAPH.items() if found & wanted}


def users_of_package(package: str) -> set[str]:
    """Who imports somebody else's package."""
    return {name for name, found in NAMED.items() if any(f.split(".")[0] == package for f in found)}


# Directions


def test_no_import_runs_upward() -> None:
    """In each folder, its files and folders can be put into an order that all imports follow."""
    back = {folder: upward(nodes) for folder, nodes in levels(graph(FILES)).items()}
    assert {folder: arrows for folder, arrows in back.items() if arrows} == {}


def test_there_is_no_circle() -> None:
    assert circles(graph(FILES)) == []


WALKS = {
    "a typed line": [
        "chat.terminal",
        "conversation.session",
        "conversation.dialogue",
        "conversation.generator",
        "conversation.prompt",
        "engine",
    ],
    "a typed line, kept": ["conversation.dialogue", "conversation.store", "conversation.records"],
    "a tensor": [
        "convert.run",
        "convert.write.verify",
        "convert.write.output",
        "convert.read.checkpoint",
    ],
    "a tensor, merged": [
        "convert.write.encode",
        "convert.arch.weights",
        "convert.read.merge",
        "convert.read.checkpoint",
    ],
    "a tensor, quantized": ["convert.run", "convert.write.encode", "convert.quantize.ggml"],
    "a measured text": [
        "quality.comparison",
        "quality.measure",
        "llama.batch.chunk_logits",
        "llama.load",
    ],
    "a line of IRC": [
        "irc.server",
        "irc.commands.table",
        "irc.network.network",
        "irc.protocol.line",
    ],
    "a line of a browser": ["irc.server", "irc.connection", "irc.web.websocket"],
    "a reply in a channel": ["irc.bot.bot", "irc.bot.scene", "conversation.session"],
}


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_each_walk_goes_one_way(walk: list[str]) -> None:
    """Each station imports the next, by itself or through others, and never the other way."""
    for upper, lower in pairwise(walk):
        assert lower in reached(upper), (upper, lower)
        assert upper not in reached(lower), (lower, upper)


def reached(module: str) -> set[str]:
    seen, todo = set[str](), [module]
    while todo:
        for other in GRAPH[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


# Who may know what


def test_typer_is_known_to_the_command_line_alone() -> None:
    assert (users_of_package("typer") | users_of_package("click")) <= within("cli")


def test_nothing_imports_the_command_line() -> None:
    assert users("cli") - within("cli") == {"__main__"}


def test_the_rules_of_relays_prompts_know_nothing_but_errors() -> None:
    known = {"errors", "conversation.messages"}
    assert GRAPH["conversation.messages"] <= known
    assert GRAPH["conversation.commands"] <= known


def test_the_conversation_stands_on_an_engine_and_a_disk() -> None:
    found = {other for name in within("conversation") for other in GRAPH[name]}
    allowed = {"engine", "sampling", "chatml", "errors", "disk"}
    assert found - within("conversation") <= allowed


def test_one_place_imports_llama_cpp() -> None:
    assert not users_of_package("llama_cpp")
    named = [name for name, path in MODULES.items() if '"llama_cpp"' in path.read_text("utf-8")]
    # which finds what it needs first; the other one looks at the sizes of its files
    assert sorted(named) == ["doctor.fingerprint", "llama.native"]


def test_who_calls_llama_cpp() -> None:
    converters = {"convert.quantize.ggml", "convert.quantize.mixture"}
    assert users("llama.native") <= within("llama") | converters


def test_who_imports_the_hubs_library() -> None:
    assert users_of_package("huggingface_hub") == {"hub.api", "hub.cache", "hub.file"}


def test_the_terminal_has_one_owner() -> None:
    owners = {
        "chat.terminal",
        "chat.scrollback",
        "chat.inputline",
        "chat.menus.menus",
        "chat.menus.overlay",
        "chat.menus.reply_menu",
        "chat.menus.session_menu",
        "chat.feed",
        "chat.offered",
        "chat.suspend",
    }
    assert users_of_package("prompt_toolkit") == owners


def test_the_http_stack_is_known_to_the_server_alone() -> None:
    """It is an extra: nothing else needs it."""
    found = users_of_package("starlette") | users_of_package("uvicorn")
    assert found == {"serve.paths", "serve.door", "serve.listening"}


def test_websockets_are_known_to_the_door_for_browsers_alone() -> None:
    """They are an extra, and loaded when the first browser comes."""
    assert users_of_package("websockets") == {"irc.web.knock", "irc.web.websocket"}
    assert users("irc.web.knock") == {"irc.connection"}


def test_llm_is_known_to_its_plugin_alone() -> None:
    """It is not a dependency: nothing but llm itself imports the plugin."""
    assert users_of_package("llm") == {"chat.llm_plugin"}
    assert not users("chat.llm_plugin")


def test_plans_are_arithmetic() -> None:
    assert not within("fit") & (users_of_package("os") | users_of_package("psutil"))
    assert not within("fit") & users("llama", "models", "settings", "hub", "doctor")


def test_what_lies_below_the_models_knows_none_of_them() -> None:
    below = within("hub", "apps", "machine", "fit", "doctor", "workers", "gguf_file")
    assert not below & users("settings", "models", "llama", "relay", "conversation")


def test_chatting_needs_nothing_of_converting() -> None:
    # the demo's file is made by the converter, on first use
    assert users("convert") - within("convert", "cli") <= {"quant_presets"}


def test_converting_needs_nothing_of_chatting() -> None:
    assert not within("convert") & users("chat", "conversation", "relay", "settings", "models")


def test_the_other_faces_are_mounted_by_the_command_line_alone() -> None:
    """The IRC network, the HTTP server and the data sets: nothing of the chat needs them."""
    assert users("irc") - within("irc") == {"cli.irc", "cli.serving.network"}
    assert users("serve") - within("serve") == {"cli.serving.serve"}
    # what a base model writes becomes a data set too
    assert users("dataset") - within("dataset", "synth") == {"cli.dataset", "cli.synth.sift"}
    assert users("synth") - within("synth") == {"cli.synth.sample", "cli.synth.sift"}


def test_measuring_stands_beside_converting() -> None:
    """Figures reach the model card as a file in its folder."""
    assert users("quality") - within("quality") <= within("cli.quality", "cli.convert.screen")
    assert not within("quality") & users("convert", "models", "settings")


def test_the_bot_knows_no_socket() -> None:
    assert not within("irc.bot", "irc.network", "irc.protocol") & users("irc.server")
    assert not within("irc.bot", "irc.network") & users("irc.commands")


# Sizes and names


def sized() -> list[Path]:
    """All files of the package and of its tests."""
    return [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]


def test_files_stay_short() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in sized()}
    assert {str(path): length for path, length in lengths.items() if length > 320} == {}


def test_folders_stay_small() -> None:
    sizes = Counter(path.parent for path in sized())
    assert {str(folder): n_files for folder, n_files in sizes.items() if n_files > 16} == {}


def test_folders_tell_what_is_in_them() -> None:
    """Each file and folder in a folder is named in the docstring of its `__init__.py`."""
    for folder in {name.rpartition(".")[0] for name in MODULES} - {"", "relay_gguf"}:
        told = MODULES[folder].read_text("utf-8")
        inside = {name.rpartition(".")[2] for name in MODULES if name.rpartition(".")[0] == folder}
        assert not [name for name in inside if not re.search(rf"\b{name}\b", told)], folder


def test_a_class_name_means_one_thing() -> None:
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert {name: n for name, n in names.items() if n > 1} == {}


def test_a_file_name_means_one_thing() -> None:
    """A command's file may be called as what it is a command for; three files are an engine."""
    stems = Counter(
        path.stem
        for name, path in MODULES.items()
        if path.stem not in ("__init__", "engine") and not name.startswith("cli.")
    )
    assert {stem: n for stem, n in stems.items() if n > 1} == {}


# What is loaded


@pytest.mark.parametrize("code", ["import relay_gguf", "import relay_gguf.cli.app"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    heavy = (
        "{'llama_cpp', 'numpy', 'prompt_toolkit', 'huggingface_hub', 'rich', 'phonenumbers', "
        "'detect_secrets'}"
    )
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
    command = [sys.executable, "-m", "relay_gguf", "presets", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert '"preset": "relay"' in run.stdout


def test_every_package_is_installed() -> None:
    listed = re.search(r"packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert listed
    found = [name for name, path in FILES.items() if path.name == "__init__.py"]
    assert sorted(re.findall(r'"(.*?)"', listed[1])) == sorted(found)


def test_one_reads_the_sources_that_are_tested() -> None:
    """The rules above read the source tree; what is installed may be another place."""
    installed = Path(relay_gguf.__file__).parent / "errors.py"
    assert installed.read_bytes() == FILES["relay_gguf.errors"].read_bytes()
