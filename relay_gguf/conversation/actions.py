"""What each command does: one function a command, on a session.

Each takes the session, the command's argument and the whole typed line, and yields events; what
cannot be done is raised as a `CommandError`, and shown as a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from relay_gguf.errors import CommandError, ContextError

from . import messages as rules
from .commands import Call, help_text, parse, spell
from .events import Draft, Event, Failed, Left, Notice, Piece, Said, Typing
from .export import FORMATS
from .messages import SILENCE
from .transcript import Chose, Turned, Undone

if TYPE_CHECKING:
    from .session import Session

PREVIEW = 56
"""Characters of a message that /context shows."""


# Commands that the model sees


def join(session: Session, argument: str, line: str) -> Iterator[Event]:
    """A new scene."""
    return session.open_scene(line, "input", argument.lstrip("#"))


def reset(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The first scene again."""
    yield Notice(f"* {session.relay.nicks['input']} has reset the session.")
    yield from session.open_scene(line, "model", session.first_channel)


def topic(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The channel's topic."""
    lines = rules.topic(session.relay.nicks, "input", session.transcript.channel, argument)
    yield from session.turn(line, lines)


def cast(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The model's bio."""
    yield from session.turn(line, rules.cast(session.relay.nicks, "input", argument))


def slap(session: Session, argument: str, line: str) -> Iterator[Event]:
    """A trout."""
    yield from session.turn(line, rules.slap(session.relay.nicks, "input"), awaits=True)
    yield from session.answer()


def message(session: Session, argument: str, line: str) -> Iterator[Event]:
    """A message, whatever it begins with."""
    return session.say(argument or SILENCE, line)


def lazy(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The model writes for the human, then answers."""
    if argument.endswith("?"):
        yield from draft(session, argument.removesuffix("?").rstrip(), line)
        return
    said = yield from session.speak("input", argument)
    if said is None:
        raise CommandError("Nothing was written.")
    if said.reason == "cancelled":
        yield Draft(spell(said.message.content))
        return
    try:
        yield from session.turn("/lazy", [said.message], awaits=True, generated=said)
    except ContextError as error:
        yield Failed(str(error))
        yield Draft(spell(said.message.content))
        return
    yield from session.answer()


def draft(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The model writes into the input line."""
    said = yield from _unheard(session.speak("input", argument))
    if said is not None:
        yield Draft(spell(said.message.content))


def _unheard(speaking: Generator[Event, None, Said | None]) -> Generator[Event, None, Said | None]:
    """The events of a message that is not said, without its pieces."""
    while True:
        try:
            event = next(speaking)
        except StopIteration as end:
            said: Said | None = end.value
            return said
        match event:
            case Typing(nick, opening):
                yield Typing(nick, opening, draft=True)
            case Piece():
                pass
            case _:
                yield event


# Commands about the last turn


def retry(session: Session, argument: str, line: str) -> Iterator[Event]:
    """Another reply."""
    last = session.transcript.last
    if last is None or not (last.answers or last.said.awaits):
        raise CommandError("Nothing to retry: the model did not speak last.")
    if last.answers:
        number = len(last.answers) + 1
        nick = session.relay.nicks["model"]
        yield Notice(f"* {nick}'s reply is replaced ({number}/{number}), /prev brings it back:")
    yield from session.answer()


def previous_reply(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The reply before."""
    return _choose(session, -1)


def next_reply(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The reply after."""
    return _choose(session, +1)


def _choose(session: Session, step: int) -> Iterator[Event]:
    last = session.transcript.last
    count = len(last.answers) if last else 0
    if last is None or count < 2:
        raise CommandError("There is one reply at most. /retry makes another.")
    index = last.chosen + step
    if not 0 <= index < count:
        place = "newest; /retry makes another" if step > 0 else "first"
        raise CommandError(f"This is the {place} ({last.chosen + 1}/{count}).")
    session.record(Chose(index))
    yield Notice(f"* {session.relay.nicks['model']}'s reply {index + 1}/{count}:")
    yield Said(last.answers[index].message)


def go_on(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The rest of a reply that was cut."""
    last = session.transcript.last
    answer = last.answer if last else None
    if answer is None or not answer.cut:
        raise CommandError("There is no reply that was cut.")
    said = yield from session.speak("model", answer.content, without_last=True)
    if said is None:
        raise CommandError("Nothing was added.")
    whole = replace(said.message, generated=answer.generated + said.message.generated)
    yield from session.keep("continue", replace(said, message=whole))


def undo(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The last turn taken back, its text returned."""
    last = session.transcript.last
    if last is None:
        raise CommandError("Nothing to undo.")
    session.record(Undone())
    yield Notice(f"* Took back: {last.said.line or SILENCE}")
    yield Draft(_typed(last.said))


def edit(session: Session, argument: str, line: str) -> Iterator[Event]:
    """Another message in the last turn's place."""
    last = session.transcript.last
    if last is None:
        raise CommandError("Nothing to edit.")
    if not argument:
        yield Draft(f"/edit {_typed(last.said)}")
        return
    if isinstance(parse(argument), Call):
        raise CommandError(f"/edit takes a message. To do {argument} instead, /undo first.")
    yield from session.dispatch(argument, edits=True)


def _typed(said: Turned) -> str:
    """The line that would do the same again: what /lazy wrote counts as typed."""
    return spell(said.messages[0].content) if said.ids else said.line


# Commands about the session


def context(session: Session, argument: str, line: str) -> Iterator[Event]:
    """What the model sees, in tokens."""
    lines = session.transcript.context
    rows = []
    for said, size in zip(lines, session.relay.sizes(lines), strict=True):
        text = " ".join(said.content.split())
        text = text if len(text) <= PREVIEW else f"{text[: PREVIEW - 1]}…"
        rows.append(f"{size:>6}  {said.nick:<6}  {text}")
    n_ctx, tokens = session.relay.engine.n_ctx, session.tokens
    rows.append(
        f"{tokens:>6}  of {n_ctx} tokens ({tokens / n_ctx:.0%}), "
        f"{session.relay.reserve} kept for a reply"
    )
    scene = session.transcript.scene
    gone = sum(len(turn.messages) for turn in scene if turn.forgotten_at is not None)
    if gone:
        rows.append(f"        {gone} older messages left the context; the session keeps them")
    yield Notice("\n".join(rows))


def save(session: Session, argument: str, line: str) -> Iterator[Event]:
    """A name for the session."""
    name = session.save(argument)
    if name is None:
        yield Notice("* Nothing was said yet; the session is saved with its first line.")
    else:
        yield Notice(f"* Saved as {name}: --resume '{name}'")


def load(session: Session, argument: str, line: str) -> Iterator[Event]:
    """Another session."""
    if not argument:
        names = "\n".join(f"  {name}" for name in session.names[:40])
        yield Notice(f"Saved sessions, newest first:\n{names}" if names else "* None saved.")
    elif argument == session.name:
        yield Notice(f"* You are in {argument}.")
    else:
        yield from session.resume(argument)


def export(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The scene as a file."""
    style = argument or "jsonl"
    if style not in FORMATS:
        raise CommandError(f"No format {style!r}. There are: {', '.join(FORMATS)}.")
    try:
        path = session.export(style)
    except OSError as error:
        raise CommandError(f"Cannot write the export: {error.strerror}.") from error
    yield Notice(f"* saved conversation to {path}")


def show_help(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The table of commands."""
    yield Notice(help_text(argument))


def leave(session: Session, argument: str, line: str) -> Iterator[Event]:
    """The end."""
    yield Left()


Action = Callable[["Session", str, str], Iterator[Event]]

ACTIONS: dict[str, Action] = {
    "join": join,
    "topic": topic,
    "cast": cast,
    "slap": slap,
    "lazy": lazy,
    "lazy?": draft,
    "retry": retry,
    "prev": previous_reply,
    "next": next_reply,
    "continue": go_on,
    "undo": undo,
    "edit": edit,
    "context": context,
    "save": save,
    "load": load,
    "export": export,
    "reset": reset,
    "message": message,
    "help": show_help,
    "exit": leave,
    "quit": leave,
}
