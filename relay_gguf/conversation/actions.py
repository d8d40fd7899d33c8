"""What each command does: one function a command, on a dialogue.

Each takes the dialogue, the command's argument and the whole typed line, and yields events. A
command that cannot be done raises `CommandError`, which `session` turns into a notice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from relay_gguf.errors import CommandError, ContextError

from . import messages as rules
from .alternatives.retrying import next_reply, previous_reply, retry
from .commands import Call, Say, Wildcard, parse, spell
from .dialogue import Dialogue
from .events import Draft, Event, Failed, Notice, Piece, Said, Typing
from .local_actions import context, export, leave, load, save, set_option, show_help
from .messages import NICKS, SILENCE
from .transcript import Turn, Turned, Undone

# Commands that the model sees


def join(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/join`: the human opens a scene in a channel."""
    if re.search(r"[\s,]#", argument):
        raise CommandError("One channel at a time: a scene plays in one place. /join #boston")
    return dialogue.open_scene(line, "input", argument.lstrip("#"))


def reset(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/reset`: the model opens a scene in the first channel."""
    yield Notice(f"* {NICKS['input']} has reset the session.")
    yield from dialogue.open_scene(line, "model", dialogue.first_channel)


def topic(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/topic`: the human sets the channel's topic."""
    lines = rules.topic(NICKS, "input", dialogue.transcript.channel, argument)
    yield from dialogue.turn(line, lines)


def cast(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/cast`: the model gets a bio, as the answer to a whois."""
    if not argument:
        raise CommandError(
            "Invalid: Missing description. A bio is a sentence or two about the model, as: "
            "/cast I'm Mia, 34, a lighthouse keeper. I hate fog."
        )
    yield from dialogue.turn(line, rules.cast(NICKS, "input", argument))


def slap(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/slap`: the human slaps the model with a trout, and the model answers."""
    yield from dialogue.turn(line, rules.slap(NICKS, "input"), awaits=True)
    yield from dialogue.answer()


def message(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/message`: the human says the argument, even one that begins with a slash."""
    return dialogue.say(argument or SILENCE, line)


def lazy(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/lazy`: the model writes the human's message, then answers it."""
    if argument.endswith("?"):
        yield from draft(dialogue, argument.removesuffix("?").rstrip(), line)
        return
    is_sent = False

    def send(said: Said) -> Iterator[Event]:
        nonlocal is_sent
        if said.reason not in ("cancelled", "failed"):
            try:
                yield from dialogue.turn("/lazy", [said.message], awaits=True, generated=said)
            except ContextError as error:
                yield Failed(str(error))
            else:
                is_sent = True
        if not is_sent:
            yield Draft(spell(said.message.content))

    said = yield from dialogue.speak(dialogue.transcript.context, "input", send, argument)
    if said is None:
        raise CommandError("Nothing was written.")
    if is_sent:
        yield from dialogue.answer()


def draft(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/lazy?`: the model writes the human's message into the input line."""

    def offer(said: Said) -> Iterator[Event]:
        yield Draft(spell(said.message.content))

    context = dialogue.transcript.context
    yield from _unheard(dialogue.speak(context, "input", offer, argument))


def _unheard(events: Iterator[Event]) -> Iterator[Event]:
    """The events of a draft: its `Typing` is marked, its pieces are not shown."""
    for event in events:
        match event:
            case Typing(nick, opening):
                yield Typing(nick, opening, draft=True)
            case Piece():
                pass
            case _:
                yield event


# Commands about the last turn


def go_on(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/continue`: the model goes on with a reply that was cut."""
    last = dialogue.transcript.last
    answer = last.answer if last else None
    if answer is None or not answer.cut:
        raise CommandError("There is no reply that was cut.")
    before = answer.generated

    def lengthen(said: Said) -> Iterator[Event]:
        whole = replace(said.message, generated=before + said.message.generated)
        return dialogue.keep("continue", replace(said, message=whole))

    context = dialogue.transcript.context[:-1]
    said = yield from dialogue.speak(context, "model", lengthen, answer.content)
    if said is None:
        raise CommandError("Nothing was added.")


def undo(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/undo`: the last turn is taken back, and its line returned as a draft."""
    last = _without_followers(dialogue)
    if last is None:
        raise CommandError("Nothing to undo.")
    dialogue.record(Undone())
    yield Notice(f"* Took back: {last.said.line or SILENCE}")
    yield Draft(_typed(last.said))


def edit(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/edit`: another line takes the last turn's place; without one, its line is a draft."""
    last = dialogue.transcript.last_typed
    if last is None:
        raise CommandError("Nothing to edit.")
    if not argument:
        yield Draft(f"/edit {_typed(last.said)}")
        return
    _without_followers(dialogue)
    match parse(argument):
        case Say(content):
            yield from dialogue.say(content, argument, edits=True)
        case Wildcard(name, rest):
            yield from dialogue.wildcard(name, rest, argument, edits=True)
        case Call():
            raise CommandError(f"/edit takes a message. To do {argument} instead, /undo first.")


def _without_followers(dialogue: Dialogue) -> Turn | None:
    """Take back what the model's people said to each other last; returns the turn before that."""
    while (last := dialogue.transcript.last) is not None and last.said.follows:
        dialogue.record(Undone())
    return last


def _typed(said: Turned) -> str:
    """The line that would do the same again; a message that /lazy wrote counts as typed."""
    return spell(said.messages[0].content) if said.ids else said.line


Action = Callable[[Dialogue, str, str], Iterator[Event]]

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
    "set": set_option,
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
