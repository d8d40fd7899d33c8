"""Writes what the documentation takes from the program: `python docs/generate.py`.

- `reference.md`: every command with its arguments and options, from the command line itself;
- between marks in `chat.md`: the table of commands of a chat, from the registry;
- between marks in `how-it-is-built.md`: which folder stands above which, from the imports; every
  folder and file, with the first sentence of its docstring.

`tests/docs/test_generated.py` compares the pages with what this writes.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from relay_gguf.cli.app import app
from relay_gguf.conversation.commands import COMMANDS

DOCS = Path(__file__).parent
ROOT = DOCS.parent
FOLDERS = ("relay_gguf", "convert", "quant_presets")
BESIDE = {"convert": "relay_gguf.convert", "quant_presets": "relay_gguf.quant_presets"}
"""Folders of the source tree that are imported under another name."""
DRAWN = ("relay_gguf", "relay_gguf.irc", "relay_gguf.convert")


def main() -> None:
    """Write every page that changed."""
    for path, text in pages().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8", newline="\n")


def pages() -> dict[Path, str]:
    """Page → its whole text, as it should be."""
    chat, built = DOCS / "chat.md", DOCS / "how-it-is-built.md"
    return {
        DOCS / "reference.md": reference(),
        chat: _between(chat.read_text("utf-8"), "commands", chat_commands()),
        built: _between(
            _between(built.read_text("utf-8"), "pictures", pictures()), "folders", folders()
        ),
    }


def _between(page: str, name: str, text: str) -> str:
    """The page with `text` between the marks called `name`."""
    begin, end = f"<!-- {name}: written by docs/generate.py -->", f"<!-- end of {name} -->"
    before, mark, rest = page.partition(begin)
    _, end_mark, after = rest.partition(end)
    if not mark or not end_mark:
        raise ValueError(f"The page has no marks {begin} and {end}.")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


# The chat's commands


def chat_commands() -> str:
    """The table of commands that are typed in a chat."""
    rows = [f"| `{command.usage}` | {command.help} |" for command in COMMANDS.values()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


# The command line


def reference() -> str:
    """The page of all commands and their options."""
    root: Any = typer.main.get_command(app)
    intro = [
        "# Command reference",
        "<!-- Written by docs/generate.py from the program; changes here are lost. -->",
        "Every command and option of `relay-gguf`, as `relay-gguf COMMAND --help` shows them. What "
        "stands in brackets is taken where an option is not given.",
    ]
    commands = [line for name, command in _commands(root) for line in _section(name, command)]
    return "\n\n".join([*intro, *commands]) + "\n"


def _commands(group: Any, before: str = "relay-gguf") -> Iterator[tuple[str, Any]]:
    """Each command with its whole name, in the order of --help; a group before its commands."""
    for name in group.list_commands(None):
        command = group.commands[name]
        # the usual command of a group needs no name
        whole = before if name == getattr(group, "usual", None) else f"{before} {name}"
        if not hasattr(command, "usual"):
            yield whole, command
        if hasattr(command, "commands"):
            yield from _commands(command, whole)


def _section(name: str, command: Any) -> Iterator[str]:
    yield f"## {name}"
    yield from _paragraphs(command.help or "")
    if hasattr(command, "commands"):
        return
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join([name, "[OPTIONS]", *(_placeholder(each) for each in arguments)])
    yield f"```text\n{usage}\n```"
    if arguments:
        rows = [f"| `{_value(each)}` | {_help(each)} |" for each in arguments]
        yield "\n".join(["| argument | what it is |", "|---|---|", *rows])
    rows = [f"| {_spelling(each)} | {_help(each)} |" for each in options if not each.hidden]
    yield "\n".join(["| option | what it does |", "|---|---|", *rows])


def _paragraphs(text: str) -> Iterator[str]:
    """A help text as Markdown; a paragraph behind \\b keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("\b"):
            body = paragraph.removeprefix("\b").strip("\n")
            yield f"```text\n{inspect.cleandoc(body)}\n```"
        elif paragraph.strip():
            yield _markdown(" ".join(paragraph.split()))


def _placeholder(argument: Any) -> str:
    shown = _value(argument)
    many = "..." if argument.nargs != 1 else ""
    return f"{shown}{many}" if argument.required else f"[{shown}]{many}"


def _spelling(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len))
    off = "".join(f" / `{name}`" for name in option.secondary_opts)
    return names + off + ("" if option.is_flag else f" `{_value(option)}`")


def _value(parameter: Any) -> str:
    name = parameter.name.replace("_", "-").upper()
    return str(parameter.metavar or name).strip("{}").removesuffix("...")


def _help(parameter: Any) -> str:
    parts = [parameter.help or ""]
    default = parameter.default
    if parameter.show_default and default not in (None, False, (), []) and not callable(default):
        parts.append(f"Default: `{default}`.")
    if parameter.envvar:
        parts.append(f"Environment: `{parameter.envvar}`.")
    return _cell(_markdown(" ".join(filter(None, parts))))


def _markdown(text: str) -> str:
    """A text of the program in which brackets are no links, and control words no tags."""
    pieces = re.split(r"(`[^`]*`)", text)  # code stays as it is
    pieces[::2] = [re.sub(r"([\[\]<>*])", r"\\\1", piece) for piece in pieces[::2]]
    return "".join(pieces)


# The folders


def pictures() -> str:
    """The folders with the most inside, each as floors: what imports is above what it imports."""
    imports = _script(ROOT / "tests" / "imports.py")
    files: dict[str, Path] = imports.sources()
    inside: dict[str, dict[str, set[str]]] = imports.levels(imports.graph(files))
    folders = {path.parent.name for path in files.values() if path.name == "__init__.py"}
    drawn = (_floors(name, inside[name], folders) for name in DRAWN)
    return "\n\n".join(f"```text\n{lines}\n```" for lines in drawn)


def _floors(name: str, nodes: dict[str, set[str]], folders: set[str]) -> str:
    """A package, a line a floor, the highest first.

    Args:
        name: of the package.
        nodes: its files and folders → those that they import.
        folders: which names are folders.
    """
    floor: dict[str, int] = {}

    def height(node: str) -> int:
        if node not in floor:
            floor[node] = 1 + max(map(height, nodes[node]), default=0)
        return floor[node]

    top = max(map(height, nodes))
    path = next((path for path, package in BESIDE.items() if package == name), None)
    lines = [f"{path or name.replace('.', '/')}/"]
    for number in range(top, 0, -1):
        here = sorted(node for node in nodes if floor[node] == number)
        shown = [f"{node}/" if node in folders else node for node in here]
        lines.append(f"{number:4}  {'  '.join(shown)}")
    return "\n".join(lines)


def _script(path: Path) -> Any:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def folders() -> str:
    """Every folder with its files, and one line for each, out of their docstrings."""
    return "\n\n".join(part for name in FOLDERS for part in _folder(ROOT / name))


def _folder(folder: Path) -> Iterator[str]:
    path = folder.relative_to(ROOT).as_posix()
    name = BESIDE.get(path)
    said = _markdown(_first_sentence(folder / "__init__.py"))
    yield f"### {path}/\n\n{said}" + (f" Imported as `{name}`." if name else "")
    inner = [each for each in sorted(folder.iterdir()) if (each / "__init__.py").exists()]
    rows = [
        f"| `{each.name}/` | {_cell(_markdown(_first_sentence(each / '__init__.py')))} |"
        for each in inner
    ]
    rows += [
        f"| `{each.name}` | {_cell(_markdown(_first_sentence(each)))} |"
        for each in sorted(folder.iterdir())
        if each.suffix in (".py", ".toml", ".cmake", ".jinja") and each.name != "__init__.py"
    ]
    if rows:
        yield "\n".join(["| | |", "|---|---|", *rows])
    for each in inner:
        yield from _folder(each)


def _first_sentence(path: Path) -> str:
    """What a file says of itself, in one line.

    Of a module that is the first paragraph of its docstring, of a preset its description, of
    another file the first sentence of its first comment.
    """
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        said = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    elif described := re.search(r'^description = "(.+)"$', text, re.MULTILINE):
        said = f"{described[1]}."
    elif commented := re.match(r"(?:# |{#- )(.+?)\.\s", text, re.DOTALL):
        said = f"{commented[1]}."
    else:
        said = ""
    return " ".join(said.split())


def _cell(text: str) -> str:
    """A text as a cell of a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
