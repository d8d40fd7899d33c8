"""--resume of a chat: the session that goes on, its model, and what options ask of it.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from .sessions import meant

if TYPE_CHECKING:
    from relay_gguf.hub.watcher import Watcher
    from relay_gguf.settings import ChatSettings

NEWEST: Final = ""
"""The value of --resume without a name: the newest session."""


def first_lines(channel: str | None, topic: str | None, cast: str | None) -> list[str]:
    """The lines that say what options ask of a session that goes on."""
    asked = {"join": channel, "topic": topic, "cast": cast}
    return [f"/{command} {text}" for command, text in asked.items() if text is not None]


def saved_session(resume: str | None) -> Path | None:
    """The file of the session that --resume means; None for a new session."""
    from relay_gguf.conversation.session_files import check_readable, session_path, titles
    from relay_gguf.errors import StoreError
    from relay_gguf.folders import sessions_folder

    if resume is None:
        return None
    if resume != NEWEST:
        return meant(resume)
    folder = sessions_folder()
    check_readable(folder)
    newest = None
    for title in titles(folder):
        newest = newest or title
        if not title.piped:
            newest = title
            break
    if newest is None:
        raise StoreError(f"No session is saved yet in {folder}.")
    return session_path(folder, newest.name)


def saved_people(saved: Path | None) -> list[str]:
    """The nicks of the people beside `user` whom the model plays in a session; None has none."""
    from relay_gguf.conversation.company.view import people_of
    from relay_gguf.conversation.store import read_session

    if saved is None:
        return []
    return people_of([message for _, message in read_session(saved).transcript.dated])


def model_path(
    named: str | None,
    settings: ChatSettings,
    saved: Path | None,
    screen: Watcher,
    yes: bool,
) -> Path:
    """The model file: of the argument, or the session, or the settings, or this machine's best."""
    from relay_gguf.conversation.store import read_session
    from relay_gguf.models.demo import demo_folder
    from relay_gguf.models.opening import find_model

    from .choice import choosing
    from .demo import demo_file

    if named is None and saved is not None:
        path = Path(read_session(saved).header.path)
        return demo_file() if demo_folder() in path.parents else path  # maybe of another version
    return find_model(named, settings, screen, choose=choosing(yes=yes))
