"""The command line: all commands, and what becomes of their errors.

Importing this loads neither llama.cpp nor numpy, so that --help is quick; commands import what they
need when they run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import cache
from itertools import zip_longest
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from relay_gguf.debug import log_everything
from relay_gguf.errors import RelayError

from .apps import lmstudio, ollama
from .chat import chat
from .convert.convert import convert
from .convert.imatrix import imatrix
from .convert.presets import presets
from .convert.publish import card, inspect, upload
from .convert.template import template
from .dataset import dataset, recipe
from .demo import demo
from .doctor import doctor
from .download import download
from .irc import irc
from .models import devices, models, plan
from .quality.quality import quality
from .safety.safety import safety
from .serving.serve import serve
from .serving.web import web
from .sessions import play, sessions
from .sillytavern import koboldcpp, sillytavern
from .synth.group import synth
from .worker import worker

Entry = Callable[..., None] | typer.Typer
"""A command, or a group of commands."""
ENTRIES: Final[tuple[Entry, ...]] = (
    *(chat, sessions, play, web, irc, serve, worker),
    *(models, plan, download, devices, doctor, demo),
    *(convert, presets, imatrix, quality, inspect, template, card, upload),
    *(dataset, synth, recipe, safety),
    *(lmstudio, ollama, sillytavern, koboldcpp),
)
"""The order of --help: to talk, to know the machine, to make files, to train, other programs."""
HELP: Final = """Relay turns a base LLM into an IRC channel: talk to it on any machine.

Each command tells its options, most with examples: relay-gguf COMMAND --help

\b
Begin with one of these:
  relay-gguf chat --demo     a small model that comes with the extra `demo`
  relay-gguf models          what this machine can run
  relay-gguf chat            the best of that; it asks before it downloads
"""
ROOT_ALONE: Final = ("", "-h", "--help", "--version")
"""First arguments for which no command's options are needed."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from relay_gguf.version import __version__

        typer.echo(f"relay-gguf {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Relay turns a base LLM into an IRC channel: talk to it on any machine."""


def _name(entry: Entry) -> str:
    return str(entry.info.name) if isinstance(entry, typer.Typer) else entry.__name__


LISTED: Final = tuple(map(_name, ENTRIES))


class ListedGroup(TyperGroup):
    """The group of all commands, which lists those for one purpose beside each other."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in the order of --help."""
        return sorted(self.commands, key=LISTED.index)


def _program(entries: Iterable[Entry]) -> typer.Typer:
    program = typer.Typer(
        name="relay-gguf",
        cls=ListedGroup,
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.callback()(root)
    for entry in entries:
        if isinstance(entry, typer.Typer):
            program.add_typer(entry)
        else:
            program.command()(entry)
    return program


app = _program(ENTRIES)


@cache
def _command(first: str) -> Callable[..., object]:
    """What takes arguments that begin with `first`: that command alone, if it is one.

    Reading the options of all of them takes a third of a second.
    """
    if first in ROOT_ALONE:
        return typer.main.get_command(_program(map(_summary, ENTRIES)))
    found = [entry for entry in ENTRIES if _name(entry) == first]
    return typer.main.get_command(_program(found) if found else app)


def _summary(entry: Entry) -> Entry:
    """A command without its options, for the list of all commands; a group as it is."""
    if isinstance(entry, typer.Typer):
        return entry

    def shown() -> None:
        """Stand in the list; arguments that begin with its name get the command itself."""

    shown.__name__, shown.__doc__ = entry.__name__, entry.__doc__
    return shown


def _first(arguments: list[str]) -> str:
    """The first argument; a shell that completes a line has it in its own place."""
    completes = any(name.endswith("_COMPLETE") for name in os.environ)
    return "completion" if completes else next(iter(arguments), "")


def bare_resume(arguments: list[str]) -> list[str]:
    """The arguments with a bare `--resume` as `--resume=`: options of typer need a value."""
    return [
        "--resume="
        if argument == "--resume" and (not following or following.startswith("-"))
        else argument
        for argument, following in zip_longest(arguments, arguments[1:], fillvalue="")
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exits with 0, 1 (an error), 2 (wrong usage) or 130 (Ctrl-C).

    Args:
        arguments: without the program's name; None for those of this process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    _take_every_character()
    debug = "--debug" in arguments or bool(os.environ.get("RELAY_DEBUG"))
    if debug:
        log_everything()
    try:
        try:
            _command(_first(arguments))(args=bare_resume(arguments))
        finally:
            _flush()
    except RelayError as error:
        if debug:
            raise
        _complain(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        reason = error.strerror or str(error) or type(error).__name__
        file = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        _complain(f"Cannot go on: {file}{reason}.")
    except Exception as error:
        if debug:
            raise
        if isinstance(error, RuntimeError) and "home directory" in str(error):
            _complain("This user has no home folder. Set HOME to one.")
        _complain(f"{type(error).__name__}: {error}. This is a bug; --debug shows where.")


def _take_every_character() -> None:
    """Let stdout and stderr take any text: a code page of Windows has not all characters of names.

    A pipe or file gets UTF-8, whatever the code page, as other programs expect; a terminal, and
    whoever has set PYTHONIOENCODING, a ? for what is not in theirs. A service may have no streams
    at all: it gets empty ones, whose numbers no file that is opened later then has.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:  # replaced by something else
            continue
        theirs = stream.isatty() or "PYTHONIOENCODING" in os.environ
        reconfigure(encoding=None if theirs else "utf-8", errors="replace")


def _flush() -> None:
    """Flush stdout. If that fails, replace stdout, so that it does not fail again at exit."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise


def _complain(text: str) -> NoReturn:
    """Print an error in one line, which may quote a file's metadata, and exit with 1."""
    from relay_gguf.display import one_line

    typer.echo(f"relay-gguf: {one_line(text)}", err=True)
    sys.exit(1)
