"""`relay-gguf sessions` and `play`: saved chats listed, shown, searched, exported, removed, played.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .options import AsJson, Debug

if TYPE_CHECKING:
    from relay_gguf.conversation.records import SavedSession
    from relay_gguf.conversation.transcript import Transcript

LISTS: Final = "`relay-gguf sessions` lists them"

sessions = typer.Typer(
    name="sessions",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def session_names(incomplete: str) -> list[str]:
    """Names of sessions that begin so, for the shell's completion."""
    from relay_gguf.conversation.session_files import sessions as files
    from relay_gguf.folders import sessions_folder

    found = [path.stem for path in files(sessions_folder())]
    return [name for name in found if name.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        help="A session's name, how it begins, or its number in the list.",
        autocompletion=session_names,
    ),
]
Format = Annotated[
    str, typer.Option("--format", help="jsonl, txt, md, html, irssi or weechat.", metavar="FORMAT")
]
Scene = Annotated[
    int | None, typer.Option(min=1, help="Only this scene, counted from 1. [all of them]")
]


@sessions.callback(invoke_without_command=True)
def saved(context: typer.Context, as_json: AsJson = False, debug: Debug = False) -> None:
    """Find, show, export and remove saved chats.

    \b
    Examples:
      relay-gguf sessions
      relay-gguf sessions search trout
      relay-gguf sessions show 2
    """
    if context.invoked_subcommand is None:
        list_(as_json=as_json)


@sessions.command("list")
def list_(as_json: AsJson = False, debug: Debug = False) -> None:
    """List the sessions, newest first.

    Each is shown with its channel, its age, the number of messages and the first line.
    """
    from dataclasses import asdict

    from relay_gguf.conversation.session_files import check_readable, title_rows, titles
    from relay_gguf.display import one_line
    from relay_gguf.folders import sessions_folder

    folder = sessions_folder()
    check_readable(folder)
    found = list(titles(folder))
    if as_json:
        typer.echo(json.dumps([asdict(title) for title in found]))
        return
    for row in title_rows(found, time.time()):
        # Columns are kept: only what a terminal would obey is made visible.
        typer.echo("  ".join(map(one_line, row.split("  "))))
    if not found:
        typer.echo(f"No session is saved yet in {folder}.")


@sessions.command()
def show(name: Name, style: Format = "txt", scene: Scene = None, debug: Debug = False) -> None:
    """Print a session, all of its scenes or one."""
    from relay_gguf.conversation.export import FORMATS
    from relay_gguf.display import visible

    found = _read(name)
    _check_format(style)
    _, writer = FORMATS[style]
    scenes = [(each.channel, each.dated) for each in _scenes(found, scene)]
    for line in writer(scenes, found.header.model):
        typer.echo(line if style == "jsonl" else visible(line))


@sessions.command()
def search(
    text: Annotated[str, typer.Argument(help="Words to look for; case does not matter.")],
    debug: Debug = False,
) -> None:
    """Find a text in all sessions.

    Each line that has it is printed after its session's name.
    """
    from relay_gguf.conversation.session_files import check_readable
    from relay_gguf.conversation.session_files import sessions as files
    from relay_gguf.display import one_line
    from relay_gguf.errors import StoreError
    from relay_gguf.folders import sessions_folder

    check_readable(sessions_folder())
    wanted = text.casefold()
    hits = 0
    for path in files(sessions_folder()):
        try:
            lines = list(_said(path))
        except StoreError as error:
            typer.echo(f"{one_line(str(error))}", err=True)
            continue
        for channel, when, line in lines:
            if wanted in line.casefold():
                hits += 1
                stamp = time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
                typer.echo(
                    f"{one_line(path.stem)}  #{one_line(channel)}  {stamp}  {one_line(line)}"
                )
    if not hits:
        raise StoreError(f"No session has the text {text!r}.")


@sessions.command()
def export(
    name: Name,
    style: Format = "jsonl",
    scene: Scene = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the file. [the current one]")
    ] = Path(),
    debug: Debug = False,
) -> None:
    """Write a session to a file, and print the file's path.

    All of its scenes or one.
    """
    from relay_gguf.conversation.export import write_scenes

    found = _read(name)
    _check_format(style)
    scenes = [(each.channel, each.dated) for each in _scenes(found, scene)]
    path = write_scenes(scenes, style, output, model=found.header.model, now=time.time())
    typer.echo(path)


@sessions.command("rm")
def remove(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Sessions' names, how they begin, or their numbers in the list.",
            autocompletion=session_names,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    debug: Debug = False,
) -> None:
    """Remove sessions for good.

    What models have read of any session is removed too, since nobody knows which of those files is
    whose: the text of the others is read again when they go on.
    """
    from relay_gguf.conversation import session_files
    from relay_gguf.conversation.session_files import read_title, title_rows
    from relay_gguf.display import one_line, visible
    from relay_gguf.folders import contexts_folder
    from relay_gguf.llama.contexts.context_folder import remove_contexts

    paths = list(dict.fromkeys(meant(name) for name in names))
    if not yes:
        for row in title_rows([read_title(path) for path in paths], time.time()):
            typer.echo(visible(row), err=True)
        question = "Remove this session?" if len(paths) == 1 else "Remove these sessions?"
        if not typer.confirm(question, err=True):
            return
    if (contexts := contexts_folder()) is not None:
        remove_contexts(contexts)
    for path in paths:
        session_files.remove(path.parent, path.stem)
        typer.echo(f"Removed {one_line(path.stem)}.")


def play(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SESSION",
            help="A session's name, how it begins, its number in the list, or its file.",
            autocompletion=session_names,
        ),
    ],
    scene: Scene = None,
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="How many times as fast.")] = 1.0,
    asciicast: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a recording for asciinema instead."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Play a saved chat, as in a recording.

    Its lines are typed and answered again.

    \b
    Examples:
      relay-gguf play 1
      relay-gguf play holidays --scene 2 --asciicast holidays.cast
    """
    from relay_gguf.chat import recording
    from relay_gguf.conversation.export import new_file
    from relay_gguf.conversation.store import read_session

    path = Path(name)
    found = read_session(path if path.suffix and path.is_file() else meant(name))
    scenes = _scenes(found, scene)
    if asciicast is not None:
        with new_file(asciicast) as file:
            for line in recording.asciicast(scenes, speed=speed):
                file.write(f"{line}\n")
        typer.echo(file.name)
        return
    columns = shutil.get_terminal_size().columns
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for pause, text in recording.frames(scenes, columns, colour=colour):
        time.sleep(pause / speed)
        typer.echo(text, nl=False, color=colour)


def meant(name: str) -> Path:
    """The file of the session that a word means.

    Raises:
        StoreError: there is none, or there are several.
    """
    from relay_gguf.conversation.session_files import check_readable, named, session_path
    from relay_gguf.conversation.session_files import sessions as files
    from relay_gguf.folders import sessions_folder

    folder = sessions_folder()
    check_readable(folder)
    path = session_path(folder, name)
    if path.exists():
        return path
    return session_path(folder, named(name, [p.stem for p in files(folder)], LISTS))


def _read(name: str) -> SavedSession:
    from relay_gguf.conversation.store import read_session

    return read_session(meant(name))


def _said(path: Path) -> Iterator[tuple[str, float, str]]:
    """What was said in a session: channel, Unix time, line."""
    from relay_gguf.conversation.messages import is_notice
    from relay_gguf.conversation.store import read_session

    for scene in read_session(path).transcript.scenes:
        for when, message in scene.dated:
            text = message.content
            yield scene.channel, when, text if is_notice(message) else f"<{message.nick}> {text}"


def _scenes(found: SavedSession, number: int | None) -> tuple[Transcript, ...]:
    from relay_gguf.errors import StoreError

    scenes = found.transcript.scenes
    if number is None:
        return scenes
    if number > len(scenes):
        raise StoreError(f"There is no scene {number}. This session has {len(scenes)}.")
    return scenes[number - 1 : number]


def _check_format(style: str) -> None:
    from relay_gguf.conversation.export import FORMATS

    if style not in FORMATS:
        raise typer.BadParameter(f"there is no format {style!r}; take {', '.join(FORMATS)}.")
