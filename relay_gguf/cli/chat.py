"""`relay-gguf chat`: its options; a model, a session and a front end put together.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .resume import first_lines, model_path, saved_people, saved_session
from .sessions import session_names

if TYPE_CHECKING:
    from relay_gguf.conversation.company.gathering import Gathering
    from relay_gguf.conversation.company.person import Person
    from relay_gguf.conversation.events import Event
    from relay_gguf.settings import ChatSettings


def chat(
    context: typer.Context,
    model: options.ModelArgument = None,
    demo: options.AsDemo = False,
    channel: Annotated[
        str | None, typer.Option(help="Channel of the first scene. [random]")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Topic of that channel.")] = None,
    cast: Annotated[
        str | None,
        typer.Option(help="Bio of the model, as /cast gives it, or a character card: mia.png."),
    ] = None,
    with_: options.WithPeople = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME]",
            help="Go on with a session: its name, how that begins, or its number in "
            "`relay-gguf sessions`; without NAME, your newest.",
            autocompletion=session_names,
        ),
    ] = None,
    save: Annotated[
        bool | None,
        typer.Option(
            "--save/--no-save", help="Keep this chat, and the lines typed, on the disk. [--save]"
        ),
    ] = None,
    cache_file: options.CacheFile = None,
    read_ahead: options.ReadsAhead = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    repeat_penalty: options.RepeatPenalty = None,
    max_tokens: options.MaxTokens = None,
    seed: options.Seed = None,
    dry_multiplier: options.DryMultiplier = None,
    dry_base: options.DryBase = None,
    dry_allowed_length: options.DryAllowedLength = None,
    dry_last_n: options.DryLastN = None,
    xtc_probability: options.XtcProbability = None,
    xtc_threshold: options.XtcThreshold = None,
    loop_guard: options.LoopGuard = None,
    yes: options.Yes = False,
    n_ctx: options.NCtx = None,
    n_gpu_layers: options.Layers = None,
    kv_type: options.KvType = None,
    main_gpu: options.MainGpu = None,
    tensor_split: options.TensorSplit = None,
    no_gpu: options.NoGpu = None,
    worker: options.Workers = None,
    min_speed: options.MinSpeed = None,
    threads: options.Threads = None,
    exact_trim: options.ExactTrim = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Read and write lines, as with a pipe.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Read lines and write JSON objects.")
    ] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="With --json, an object for each piece of a reply too."),
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
    debug: options.Debug = False,
) -> None:
    """Chat in a terminal; with a pipe, line by line.

    \b
    Examples:
      relay-gguf chat --demo
      relay-gguf chat --channel ships --cast "I'm a pirate"
      relay-gguf chat --demo --with "kate: a nurse from Cork" --with "bob: a baker"
      relay-gguf chat model.gguf --json < lines.txt
    """
    options.check_one_model(context, model, demo=demo)
    if stream and not as_json:
        raise typer.BadParameter("--stream needs --json; plain lines stream anyway.", context)
    settings = options.given_settings(context, config)
    from relay_gguf.conversation.company.person import read_people

    people = read_people(with_ or [])
    first: Sequence[str] = ()
    if resume is not None:
        if not settings.save:
            raise typer.BadParameter("--resume goes on saving: it needs --save.", context)
        first = first_lines(channel, topic, cast)
    talk(
        settings,
        model=model,
        demo=demo,
        resume=resume,
        first=first,
        people=people,
        plain=plain,
        as_json=as_json,
        stream=stream,
        show_prompt=show_prompt,
        yes=yes,
    )


def talk(
    settings: ChatSettings,
    *,
    model: str | None = None,
    demo: bool = False,
    resume: str | None = None,
    first: Sequence[str] = (),
    people: Sequence[Person] = (),
    plain: bool = False,
    as_json: bool = False,
    stream: bool = False,
    show_prompt: bool = False,
    yes: bool = False,
) -> None:
    """Chat until the user leaves or the input ends.

    Args:
        settings: the options that have defaults.
        model: the model argument of the command line, which goes before that of the settings.
        demo: take the demo model.
        resume: what means the session to go on with; `NEWEST` for the newest that a person typed,
            None for a new one.
        first: lines to submit to the session that goes on.
        people: whom the model plays beside `user`.
        plain: read and write lines in a terminal too.
        as_json: write JSON objects instead of lines.
        stream: write one for each piece of a reply too.
        show_prompt: write each prompt to stderr.
        yes: download without asking.

    Raises:
        RelayError: the model or the session cannot be used.
        KeyboardInterrupt: Ctrl-C while loading, or in a plain chat.
    """
    from relay_gguf.chat.plain import run_plain, standard_streams
    from relay_gguf.conversation.company.ensemble import Ensemble
    from relay_gguf.conversation.company.gathering import Gathering
    from relay_gguf.conversation.company.voices import Voices
    from relay_gguf.conversation.events import Notice
    from relay_gguf.conversation.messages import NICKS
    from relay_gguf.folders import contexts_folder
    from relay_gguf.hub.progress import watching
    from relay_gguf.models import opening as models
    from relay_gguf.models.demo import SCENE

    from .choice import confirming
    from .demo import demo_file, demo_notes, demo_scene

    saved = saved_session(resume)
    folder, history, unsaved = _places(settings)
    with watching(confirming(yes=yes)) as screen:
        path = demo_file() if demo else model_path(model, settings, saved, screen, yes)
    in_terminal = not (plain or as_json) and _has_terminal()
    # Nobody goes on with a script's session, unless a script does so already.
    keeps = bool(folder) and settings.cache_file and (in_terminal or saved is not None)
    contexts = contexts_folder() if keeps else None
    # Each of the people reads a text of its own; what the last one has read waits beside it.
    room = models.waiting_bytes() if people or saved_people(saved) else 0
    with models.open_engine(path, settings, scene_room=room, contexts=contexts) as engine:
        exact = settings.exact_trim
        voices = Voices(engine, settings.sampling, exact_trim=exact, human=NICKS["input"])
        notices = [*models.loading_notices(engine.plan, engine.n_tries, settings.load), *unsaved]
        by_itself = demo and in_terminal and saved is None
        by_itself = by_itself and not people and not _asks_for_a_scene(settings)
        dialogue = Ensemble(
            voices,
            folder,
            seats_saved=True,
            drops_cancelled=False,
            channel=SCENE.channel if by_itself else settings.channel,
            path=str(path.absolute()),
            piped=not sys.stdin.isatty(),
        )
        # What another thread writes there would stand in the middle of the input line.
        shares_screen = in_terminal and sys.stderr.isatty()
        watch = _print_prompt if show_prompt and not shares_screen else None
        session = Gathering(dialogue, watch=watch, reads_cards=True)
        try:
            if saved is not None:
                begun = chain(session.resume(saved.stem), *map(session.submit, first))
            elif by_itself:
                begun = chain(demo_scene(session))
            else:
                begun = chain(session.start(settings.topic, settings.cast))
            begun = chain(begun, session.seat(people))
            if demo and in_terminal:
                notices.append(demo_notes())
            opening = chain(map(Notice, notices), begun)
            if in_terminal:
                _run_terminal(session, opening, settings, history, show_prompt and shares_screen)
            else:
                stdin, stdout = standard_streams()
                run_plain(session, opening, stdin, stdout, as_json=as_json, stream=stream)
        finally:
            session.close()
            if in_terminal and dialogue.name:
                typer.echo(f"Saved: relay-gguf chat --resume {shlex.quote(dialogue.name)}")
            models.close_engine(engine)


def _asks_for_a_scene(settings: ChatSettings) -> bool:
    """Whether the user wants a channel, a topic or a bio of their own."""
    from relay_gguf.conversation.messages import DEFAULT_CHANNEL

    return settings.channel != DEFAULT_CHANNEL or bool(settings.topic or settings.cast)


def _places(settings: ChatSettings) -> tuple[Path | None, Path | None, list[str]]:
    """The folder of sessions, the file of typed lines; and why there is none, though wanted."""
    from relay_gguf.errors import SettingsError
    from relay_gguf.folders import history_path, sessions_folder

    if not settings.save:
        return None, None, []
    folder = history = None
    why = []
    try:
        folder = sessions_folder()
        history = history_path()
    except SettingsError as error:
        why = [f"* {error}" if folder else f"* This chat is not saved. {error}"]
    return folder, history, why


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
    session: Gathering,
    opening: Iterable[Event],
    settings: ChatSettings,
    history: Path | None,
    prompts: bool,
) -> None:
    from relay_gguf.chat.plain import run_plain, standard_streams
    from relay_gguf.chat.readahead import on_battery
    from relay_gguf.chat.terminal import Terminal
    from relay_gguf.conversation.events import Notice

    colour = settings.color and not os.environ.get("NO_COLOR")
    try:
        ahead = settings.read_ahead and settings.seed is None and not on_battery()
        terminal = Terminal(session, history, colour=colour, prompts=prompts, reads_ahead=ahead)
    except Exception as error:  # prompt_toolkit names the console errors of Windows only there
        if type(error).__name__ != "NoConsoleScreenBufferError":
            raise
        stdin, stdout = standard_streams()  # Git Bash's mintty is no Windows console
        run_plain(session, opening, stdin, stdout, as_json=False)
        return
    terminal.run([Notice(banner(session)), *opening])


def banner(session: Gathering) -> str:
    """What a chat in a terminal begins with: the model, who is who, how to leave."""
    from relay_gguf.conversation.messages import NICKS
    from relay_gguf.version import __version__

    generator = session.dialogue.generator
    return (
        f"relay-gguf {__version__} with {generator.engine.name}, seed {generator.seed}\n"
        f"You are <{NICKS['input']}>, the model is <{NICKS['model']}>. /help lists the commands, "
        "Ctrl-C stops a reply, Ctrl-D leaves."
    )
