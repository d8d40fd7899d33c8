"""`relay-gguf chat`: its options; a model, a session and a front end put together.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    AsDemo,
    Debug,
    KvType,
    Layers,
    MainGpu,
    MaxTokens,
    MinSpeed,
    ModelArgument,
    NCtx,
    NoGpu,
    Temperature,
    TensorSplit,
    Threads,
    Workers,
    Yes,
    given_settings,
)

if TYPE_CHECKING:
    from relay_gguf.conversation.events import Event
    from relay_gguf.conversation.generator import Generator
    from relay_gguf.conversation.session import Session
    from relay_gguf.hub.watcher import Watcher
    from relay_gguf.settings import ChatSettings

NEWEST = ""
"""The value of --resume without a name: the newest session."""


def chat(
    context: typer.Context,
    model: ModelArgument = None,
    demo: AsDemo = False,
    channel: Annotated[
        str | None, typer.Option(help="Channel of the first scene. [random]")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Topic of that channel.")] = None,
    cast: Annotated[str | None, typer.Option(help="Bio of the model, as /cast gives it.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="[NAME]", help="Go on with a session; without NAME, the newest."),
    ] = None,
    temperature: Temperature = None,
    top_k: Annotated[
        int | None, typer.Option(help="Only the K likeliest tokens; 0 is all. [40]")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Likeliest tokens with this sum; 1 is all. [0.95]")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Least share of the best token's; 0 is off. [0.05]")
    ] = None,
    repeat_penalty: Annotated[
        float | None, typer.Option(help="Penalty on tokens that were used; 1 is off. [1.1]")
    ] = None,
    max_tokens: MaxTokens = None,
    seed: Annotated[int | None, typer.Option(help="Number that makes replies repeatable.")] = None,
    yes: Yes = False,
    n_ctx: NCtx = None,
    n_gpu_layers: Layers = None,
    kv_type: KvType = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    worker: Workers = None,
    min_speed: MinSpeed = None,
    threads: Threads = None,
    exact_trim: Annotated[
        bool | None,
        typer.Option("--exact-trim", help="After dropping old messages, read the rest anew."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Read and write lines, as with a pipe.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Read lines and write JSON objects.")
    ] = False,
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", help="Print each prompt to stderr.")
    ] = False,
    color: Annotated[
        bool | None, typer.Option("--color/--no-color", help="Colours in a terminal. [--color]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with defaults for these options.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Chat in a terminal; with a pipe, line by line.

    \b
    Examples:
      relay-gguf chat --demo
      relay-gguf chat --channel ships --cast "I'm a pirate"
      relay-gguf chat model.gguf --json < lines.txt
    """
    talk(
        given_settings(context, config),
        model=model,
        demo=demo,
        resume=resume,
        plain=plain,
        as_json=as_json,
        show_prompt=show_prompt,
        yes=yes,
    )


def talk(
    settings: ChatSettings,
    *,
    model: str | None = None,
    demo: bool = False,
    resume: str | None = None,
    plain: bool = False,
    as_json: bool = False,
    show_prompt: bool = False,
    yes: bool = False,
) -> None:
    """Chat until the user leaves or the input ends.

    Args:
        settings: the options that have defaults.
        model: the model argument of the command line, which goes before that of the settings.
        demo: take the demo model.
        resume: the name of a session to go on with; `NEWEST` for the newest, None for a new one.
        plain: read and write lines in a terminal too.
        as_json: write JSON objects instead of lines.
        show_prompt: write each prompt to stderr.
        yes: download without asking.

    Raises:
        RelayError: the model or the session cannot be used.
        KeyboardInterrupt: Ctrl-C while loading, or in a plain chat.
    """
    from relay_gguf.chat.plain import run_plain, standard_streams
    from relay_gguf.conversation.dialogue import Dialogue
    from relay_gguf.conversation.events import Notice
    from relay_gguf.conversation.generator import Generator
    from relay_gguf.conversation.session import Session
    from relay_gguf.folders import sessions_folder
    from relay_gguf.hub.progress import watching
    from relay_gguf.models.opening import loading_notices, open_engine

    from .choice import confirming
    from .demo import demo_file

    folder = sessions_folder()
    name = _session_name(folder, resume)
    with watching(confirming(yes=yes)) as screen:
        path = demo_file() if demo else _model_path(model, settings, folder, name, screen, yes)
    with open_engine(path, settings) as engine:
        generator = Generator(engine, settings.sampling, exact_trim=settings.exact_trim)
        notices = loading_notices(engine.plan, engine.n_tries, settings.load)
        dialogue = Dialogue(generator, folder, channel=settings.channel, path=str(path.absolute()))
        in_terminal = not plain and not as_json and _has_terminal()
        # What another thread writes there would stand in the middle of the input line.
        shares_screen = in_terminal and sys.stderr.isatty()
        watch = _print_prompt if show_prompt and not shares_screen else None
        session = Session(dialogue, watch=watch)
        try:
            if name is not None:
                opening = session.resume(name)
            else:
                opening = session.start(settings.topic, settings.cast)
            opening = chain(map(Notice, notices), opening)
            if not in_terminal:
                stdin, stdout = standard_streams()
                run_plain(session, opening, stdin, stdout, as_json=as_json)
            else:
                _run_terminal(session, opening, settings, show_prompt and shares_screen)
        finally:
            session.close()


def _session_name(folder: Path, resume: str | None) -> str | None:
    from relay_gguf.conversation.store import sessions
    from relay_gguf.errors import StoreError

    if resume != NEWEST:
        return resume
    saved = sessions(folder)
    if not saved:
        raise StoreError(f"No session is saved yet in {folder}.")
    return saved[0].stem


def _model_path(
    named: str | None,
    settings: ChatSettings,
    folder: Path,
    name: str | None,
    screen: Watcher,
    yes: bool,
) -> Path:
    """The model file: of the argument, or the session, or the settings, or this machine's best."""
    from relay_gguf.conversation.store import peek, session_path
    from relay_gguf.errors import StoreError
    from relay_gguf.models.demo import demo_folder
    from relay_gguf.models.opening import find_model

    from .choice import choosing
    from .demo import demo_file

    if named is None and name is not None:
        saved = session_path(folder, name)
        if not saved.exists():
            raise StoreError(f"There is no session {name!r} in {folder}.")
        path = Path(peek(saved).path)
        return demo_file() if demo_folder() in path.parents else path  # maybe of another version
    return find_model(named, settings, screen, choose=choosing(yes=yes))


def _print_prompt(event: Event) -> None:
    from relay_gguf.conversation.events import Prompted
    from relay_gguf.display import visible

    if isinstance(event, Prompted):
        text = visible(event.text) if sys.stderr.isatty() else event.text
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _run_terminal(
    session: Session, opening: Iterable[Event], settings: ChatSettings, prompts: bool
) -> None:
    from relay_gguf.chat.plain import run_plain, standard_streams
    from relay_gguf.chat.terminal import Terminal
    from relay_gguf.conversation.events import Notice
    from relay_gguf.folders import history_path

    colour = settings.color and not os.environ.get("NO_COLOR")
    try:
        terminal = Terminal(session, history_path(), colour=colour, prompts=prompts)
    except Exception as error:  # prompt_toolkit names the console errors of Windows only there
        if type(error).__name__ != "NoConsoleScreenBufferError":
            raise
        stdin, stdout = standard_streams()  # Git Bash's mintty is no Windows console
        run_plain(session, opening, stdin, stdout, as_json=False)
        return
    terminal.run([Notice(banner(session.dialogue.generator)), *opening])


def banner(generator: Generator) -> str:
    """What a chat in a terminal begins with: the model, who is who, how to leave."""
    from relay_gguf.conversation.messages import NICKS
    from relay_gguf.version import __version__

    return (
        f"relay-gguf {__version__} with {generator.engine.name}, seed {generator.seed}\n"
        f"You are <{NICKS['input']}>, the model is <{NICKS['model']}>. /help lists the commands, "
        "Ctrl-C stops a reply, Ctrl-D leaves."
    )
