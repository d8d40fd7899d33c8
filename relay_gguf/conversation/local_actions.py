"""What the commands do that the model does not see: about its context, sampling and files.

As `actions`: each takes the dialogue, the command's argument and the whole typed line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice
from typing import Any

from relay_gguf.errors import CommandError, SettingsError
from relay_gguf.sampling import SamplingParams

from .commands import help_text
from .dialogue import Dialogue
from .events import Event, Left, Notice
from .export import FORMATS
from .session_files import title_rows

PREVIEW = 56
"""Characters of a message that /context shows."""
LISTED = 40
"""Sessions that /load lists."""


def context(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/context`: each message that the model reads, with its size in tokens."""
    lines = dialogue.transcript.context
    rows = []
    for said, size in zip(lines, dialogue.generator.sizes(lines), strict=True):
        text = " ".join(said.content.split())
        text = text if len(text) <= PREVIEW else f"{text[: PREVIEW - 1]}…"
        rows.append(f"{size:>6}  {said.nick:<6}  {text}")
    n_ctx, tokens = dialogue.generator.engine.n_ctx, dialogue.tokens
    rows.append(
        f"{tokens:>6}  of {n_ctx} tokens ({tokens / n_ctx:.0%}), "
        f"{dialogue.generator.reserve} kept for a reply"
    )
    scene = dialogue.transcript.scene
    gone = sum(len(turn.messages) for turn in scene if turn.forgotten_at is not None)
    if gone:
        rows.append(f"        {gone} older messages left the context; the session keeps them")
    yield Notice("\n".join(rows))


def save(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/save`: the session gets a name; without one, the user is told the name it has."""
    name = dialogue.save(argument)
    if name is None:
        yield Notice("* Nothing was said yet; the session is saved with its first line.")
    else:
        yield Notice(f"* Saved as {name}: --resume '{name}'")


def load(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/load`: a saved session goes on; without a name, the saved sessions are listed."""
    if not argument:
        found = list(islice(dialogue.saved(), LISTED))
        dialogue.listed = [title.name for title in found]
        shown = title_rows(found, dialogue.now(), dialogue.name)
        rows = "\n".join(f"  {row}" for row in shown)
        head = "Saved sessions, newest first; /load takes a number, a name or its beginning:"
        yield Notice(f"{head}\n{rows}" if rows else "* None saved.")
        return
    name = argument if argument == dialogue.name else dialogue.named(argument)
    if name == dialogue.name:
        yield Notice(f"* You are in {name}.")
    else:
        yield from dialogue.resume(name)


def export(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/export`: a scene, or all of them, is written to a file in the current folder."""
    n_scenes = len(dialogue.transcript.scenes)
    style = "jsonl"
    which: int | None = n_scenes - 1
    for word in argument.split():
        if word in FORMATS:
            style = word
        elif word == "all":
            which = None
        elif word.isascii() and word.isdigit() and 0 < int(word) <= n_scenes:
            which = int(word) - 1
        elif word.isascii() and word.isdigit():
            raise CommandError(f"There is no scene {word}. This session has {n_scenes}.")
        else:
            raise CommandError(f"No format {word!r}. There are: {', '.join(FORMATS)}.")
    try:
        path = dialogue.export(style, which)
    except OSError as error:
        raise CommandError(f"Cannot write the export: {error.strerror}.") from error
    yield Notice(f"* saved conversation to {path}")
    if n_scenes > 1 and not argument:
        before = f"the {n_scenes - 1} before it" if n_scenes > 2 else "the one before it"
        yield Notice(f"* This is the scene since the last /join; /export all has {before} too.")


def show_help(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/help`: the table of commands, or one entry of it."""
    yield Notice(help_text(argument))


def leave(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/exit` and `/quit`: the user leaves."""
    yield Left()


def set_option(dialogue: Dialogue, argument: str, line: str) -> Iterator[Event]:
    """`/set`: a sampling option gets another value; without one, its value is shown, or all."""
    generator = dialogue.generator
    name, _, text = argument.replace("=", " ").partition(" ")
    name, text = name.removeprefix("--").replace("-", "_"), text.strip()
    params = generator.params
    options = {field.name: getattr(params, field.name) for field in fields(SamplingParams)}
    options["seed"] = generator.seed
    if name and name not in options:
        raise CommandError(f"There is no option {name!r} to set. There are: {', '.join(options)}.")
    if not text:
        shown = {name: options[name]} if name else options
        yield Notice("\n".join(f"{key:<18} {value}" for key, value in shown.items()))
        return
    try:
        value = _number(text, whole=isinstance(options[name], int))
        changed = replace(params, **{name: value})
    except (ValueError, SettingsError) as error:
        raise CommandError(str(error)) from error
    generator.params = changed
    if name == "seed":
        generator.reseed(int(value))
    yield Notice(f"* {name} is {value} from now on; it was {options[name]}.")


def _number(text: str, *, whole: bool) -> Any:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a {'whole ' * whole}number.") from None
