"""The command line: what each option is called, and how errors end.

Importing this loads neither llama.cpp nor numpy, so that --help is quick; the commands import what
they need.
"""

from __future__ import annotations

import os
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from relay_gguf.debug import Debug, log_everything
from relay_gguf.errors import RelayError

from .apps import lmstudio, ollama
from .convert.convert import convert, demo, presets, template
from .convert.publish import card, inspect, upload
from .dataset import dataset, recipe
from .doctor import doctor
from .download import download
from .irc import irc
from .models import (
    KvType,
    Layers,
    MainGpu,
    MinSpeed,
    NCtx,
    NoGpu,
    TensorSplit,
    devices,
    models,
    plan,
)
from .worker import Workers
from .worker import worker as lend

app = typer.Typer(
    name="relay-gguf",
    help="Relay turns a base LLM into an IRC channel: talk to it on any machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from relay_gguf import __version__

        typer.echo(f"relay-gguf {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Relay turns a base LLM into an IRC channel: talk to it on any machine."""


Model = Annotated[
    str | None,
    typer.Argument(
        help="A GGUF file, OWNER/NAME[:TYPE] on the hub, or a model of Ollama's. "
        "[env: RELAY_MODEL] [this machine's best]"
    ),
]
Number = int | None
Share = float | None
Text = str | None
Switch = bool | None


@app.command()
def chat(
    model: Model = None,
    demo: Annotated[bool, typer.Option("--demo", help="Take the small demo model.")] = False,
    channel: Annotated[Text, typer.Option(help="The first channel. [random]")] = None,
    topic: Annotated[Text, typer.Option(help="Its topic.")] = None,
    cast: Annotated[Text, typer.Option(help="Who the model is.")] = None,
    resume: Annotated[
        Text, typer.Option(metavar="[NAME]", help="Go on with a session; without NAME the newest.")
    ] = None,
    temperature: Annotated[Share, typer.Option(help="0 takes the likeliest token. [0.3]")] = None,
    top_k: Annotated[Number, typer.Option(help="0 is off. [40]")] = None,
    top_p: Annotated[Share, typer.Option(help="1 is off. [0.95]")] = None,
    min_p: Annotated[Share, typer.Option(help="0 is off. [0.05]")] = None,
    repeat_penalty: Annotated[Share, typer.Option(help="1 is off. [1.1]")] = None,
    max_tokens: Annotated[Number, typer.Option(help="Tokens of a reply at most. [128]")] = None,
    seed: Annotated[Number, typer.Option(help="The same seed gives the same replies.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    n_ctx: NCtx = None,
    n_gpu_layers: Layers = None,
    kv_type: KvType = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    worker: Workers = None,
    min_speed: MinSpeed = None,
    threads: Annotated[Number, typer.Option(help="[one for each physical core]")] = None,
    exact_trim: Annotated[
        Switch, typer.Option("--exact-trim", help="Read a trimmed context anew: slow, exact.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines in, lines out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Lines in, JSON objects out.")] = False,
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", help="Print each prompt to stderr.")
    ] = False,
    color: Annotated[Switch, typer.Option("--color/--no-color", help="[--color]")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with defaults for these options."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Chat in a terminal; with a pipe, line by line."""
    from relay_gguf.settings import usual_settings

    given = {
        "channel": channel,
        "topic": topic,
        "cast": cast,
        "n_ctx": n_ctx,
        "n_gpu_layers": n_gpu_layers,
        "kv_type": kv_type,
        "main_gpu": main_gpu,
        "tensor_split": tensor_split,
        "no_gpu": no_gpu,
        "worker": worker or None,
        "min_speed": min_speed,
        "threads": threads,
        "color": color,
        "exact_trim": exact_trim,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repeat_penalty": repeat_penalty,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    settings = usual_settings(given, config)
    from .chat import chat as talk

    talk(
        settings,
        model=model,
        demo=demo,
        resume=resume,
        plain=plain,
        as_json=as_json,
        show_prompt=show_prompt,
        yes=yes,
    )


app.command()(devices)
app.command()(doctor)
app.command()(plan)
app.command()(models)
app.command()(download)
app.command()(irc)
app.command("worker")(lend)
app.command()(convert)
app.command()(presets)
app.command()(template)
app.command()(demo)
app.command()(dataset)
app.command()(recipe)
app.command()(inspect)
app.command()(card)
app.command()(upload)
app.add_typer(lmstudio)
app.add_typer(ollama)


def bare_resume(arguments: list[str]) -> list[str]:
    """`--resume` without a name, which typer's options cannot have, as `--resume=`."""
    return [
        "--resume="
        if argument == "--resume" and (not following or following.startswith("-"))
        else argument
        for argument, following in zip_longest(arguments, arguments[1:], fillvalue="")
    ]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exits with 0, 1 (an error), 2 (wrong usage) or 130 (Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments or bool(os.environ.get("RELAY_DEBUG"))
    if debug:
        log_everything()
    try:
        try:
            app(args=bare_resume(arguments))
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
        _complain(f"{type(error).__name__}: {error}. This is a bug; --debug shows where.")


def _flush() -> None:
    """Write out what was printed. Where that fails, what is left must not fail again at exit."""
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
    """Say what is wrong in one line, in which a file's metadata may stand; exit with 1."""
    from relay_gguf.display import one_line

    typer.echo(f"relay-gguf: {one_line(text)}", err=True)
    sys.exit(1)
