"""`relay-gguf chat`: a model, a session and a front end put together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from . import __version__
from .demo import demo_model
from .display import one_line, visible
from .download import Watcher
from .errors import MemoryShortError, StoreError
from .events import Event, Notice, Prompted
from .fetch_screen import watching
from .fit import DEFAULT_N_CTX, LoadOptions
from .fit_lines import summary, taken_lines
from .hub import UnreachableError
from .locate import locate
from .placement import Plan
from .plain import run_plain, standard_streams
from .relay import RelayLM
from .session import Session
from .settings import ChatSettings, history_path, sessions_folder
from .store import peek, session_path, sessions
from .suggest import suggest

NEWEST = ""
"""The name that --resume means without one."""


def chat(
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
        model: the one named on the command line, which goes before all others.
        demo: take the demo model.
        resume: the session to go on with; `NEWEST` for the newest.
        plain: use nothing that only a terminal can do.
        as_json: write JSON objects.
        show_prompt: write each prompt to stderr.
        yes: download without asking.

    Raises:
        RelayError: the model or the session cannot be used.
        KeyboardInterrupt: Ctrl-C while loading, or in a plain chat.
    """
    folder = sessions_folder()
    name = _session_name(folder, resume)
    with watching(yes=yes) as screen:
        path = demo_model() if demo else _model_path(model, settings, folder, name, screen)
    with _loaded(path, settings) as (relay, notices):
        session = Session(
            relay,
            folder,
            channel=settings.channel,
            path=str(path.absolute()),
            watch=_print_prompt if show_prompt else None,
        )
        try:
            if name is not None:
                opening = session.resume(name)
            else:
                opening = session.start(settings.topic, settings.cast)
            opening = chain(map(Notice, notices), opening)
            if plain or as_json or not _has_terminal():
                stdin, stdout = standard_streams()
                run_plain(session, opening, stdin, stdout, as_json=as_json)
            else:
                _run_terminal(session, opening, settings)
        finally:
            session.close()


def _session_name(folder: Path, resume: str | None) -> str | None:
    if resume != NEWEST:
        return resume
    saved = sessions(folder)
    if not saved:
        raise StoreError(f"No session is saved yet in {folder}.")
    return saved[0].stem


def _model_path(
    named: str | None, settings: ChatSettings, folder: Path, name: str | None, screen: Watcher
) -> Path:
    """The model that was named, or the session's, or the usual one, or this machine's best."""
    if named is not None:
        return locate(named, screen)
    if name is not None:
        saved = session_path(folder, name)
        if not saved.exists():
            raise StoreError(f"There is no session {name!r} in {folder}.")
        return Path(peek(saved).path)
    if settings.model is not None:
        return locate(settings.model, screen)
    return _best(settings, screen)


def _best(settings: ChatSettings, screen: Watcher) -> Path:
    """The published file that suits this machine, downloaded if need be."""
    found = suggest(settings.load, settings.min_speed)
    for line in taken_lines(found):
        sys.stderr.write(f"{line}\n")
    file = found.taken.file
    if file.ftype in found.here:
        return found.here[file.ftype]
    try:
        return locate(file.name, screen)
    except UnreachableError as error:
        if not found.here:
            raise
        sys.stderr.write(f"{one_line(str(error))}\n")
    there = [c for c in found.candidates if c.plan and c.file.ftype in found.here]
    if not there:
        raise MemoryShortError(
            "None of Relay's files on this disk fits into memory. `relay-gguf models` lists them."
        )
    return found.here[there[0].file.ftype]


@contextmanager
def _loaded(path: Path, settings: ChatSettings) -> Iterator[tuple[RelayLM, list[str]]]:
    """The model in memory, and what to say of it; its progress is on stderr while it loads."""
    from .llama import LlamaEngine

    show, clear = _progress(path) if sys.stderr.isatty() else (None, lambda: None)
    try:
        engine = LlamaEngine(path, settings.load, n_threads=settings.threads, on_progress=show)
    finally:
        clear()
    notices = loading_notices(engine.plan, engine.n_tries, settings.load)
    with engine:
        relay = RelayLM(engine=engine, exact_trim=settings.exact_trim, **asdict(settings.sampling))
        yield relay, notices


def loading_notices(plan: Plan, n_tries: int, options: LoadOptions) -> list[str]:
    """What the user should know of where the model went; on a CPU, only what is not as usual."""
    at = plan.settings
    short = at.n_ctx < min(DEFAULT_N_CTX, plan.model.n_ctx_train) and options.n_ctx is None
    saving = at.kv_type != "f16" and options.kv_type is None
    if n_tries > 1:
        return [f"Loading failed for lack of memory; now it is {summary(plan)}."]
    if short or saving:
        return [f"Memory is short: {summary(plan)}."]
    return [f"The model is loaded: {summary(plan)}."] if at.n_gpu_layers else []


def _progress(path: Path) -> tuple[Callable[[float], None], Callable[[], None]]:
    """Functions that show and clear a line about loading; a quick load shows none."""
    shown = [0]

    def show(share: float) -> None:
        percent = int(share * 100)
        if 0 < percent < 100 and percent != shown[0]:
            shown[0] = percent
            sys.stderr.write(f"\rLoading {one_line(path.name)[:50]} ... {percent} %")
            sys.stderr.flush()

    def clear() -> None:
        if shown[0]:
            sys.stderr.write("\r\x1b[K")

    return show, clear


def _print_prompt(event: Event) -> None:
    if isinstance(event, Prompted):
        text = visible(event.text) if sys.stderr.isatty() else event.text
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _run_terminal(session: Session, opening: Iterable[Event], settings: ChatSettings) -> None:
    from .terminal import Terminal

    colour = settings.color and not os.environ.get("NO_COLOR")
    try:
        terminal = Terminal(session, history_path(), colour=colour)
    except Exception as error:  # prompt_toolkit names the console errors of Windows only there
        if type(error).__name__ != "NoConsoleScreenBufferError":
            raise
        stdin, stdout = standard_streams()  # Git Bash's mintty is no Windows console
        run_plain(session, opening, stdin, stdout, as_json=False)
        return
    terminal.run([Notice(banner(session)), *opening])


def banner(session: Session) -> str:
    """What a chat begins with."""
    nicks = session.relay.nicks
    return (
        f"relay-gguf {__version__} with {session.relay.engine.name}, seed {session.relay.seed}\n"
        f"You are <{nicks['input']}>, the model is <{nicks['model']}>. /help lists the commands, "
        "Ctrl-C stops a reply, Ctrl-D leaves."
    )
