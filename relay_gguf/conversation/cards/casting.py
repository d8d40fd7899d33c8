"""What /cast does where a file's name may be typed: a card becomes the bio and the topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from relay_gguf.conversation import actions
from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Event, Notice
from relay_gguf.conversation.messages import NICKS

from .card import Card
from .card_file import ENDINGS, find_card, named_file


def cast(
    dialogue: Dialogue, argument: str, line: str, *, keeps_topic: bool = False
) -> Iterator[Event]:
    """`/cast`: if the argument is the name of a card's file, its character; else the text itself.

    Args:
        dialogue: the conversation.
        argument: what stands behind /cast.
        line: as typed.
        keeps_topic: leave the channel's topic as it is, whatever the card's scenario.

    Raises:
        CardError: the file is there and damaged.
    """
    path = named_file(argument)
    card = find_card(path) if path else None
    if path and card:
        yield from _cast_card(dialogue, card, path, line, keeps_topic)
        return
    yield from actions.cast(dialogue, argument, line)
    if path or (argument.lower().endswith(ENDINGS) and " " not in argument):
        why = "is not a character card" if path else "is not a file here"
        yield Notice(f"* {argument} {why}: its name is the bio now. /undo takes it back.")


def _cast_card(
    dialogue: Dialogue, card: Card, path: Path, line: str, keeps_topic: bool
) -> Iterator[Event]:
    """A turn for the topic, if the card has a scenario, and one for the bio: both or none."""
    n_ctx = dialogue.generator.engine.n_ctx
    bio = card.bio(_within(dialogue, n_ctx // 4))
    topic = "" if keeps_topic else card.topic(_within(dialogue, n_ctx // 16))
    bio_lines = rules.cast(NICKS, "input", bio)
    topic_lines = rules.topic(NICKS, "input", dialogue.transcript.channel, topic) if topic else ()
    context = dialogue.transcript.context
    dialogue.generator.check_room([*context, *topic_lines, *bio_lines], answered=False)
    if topic:
        yield from dialogue.turn(f"/topic {topic}", topic_lines)
    yield from dialogue.turn(line, bio_lines)
    told = f"* {NICKS['model']} is {card.name} now, from {path.name}"
    told += ", and the topic is its scenario." if topic else "."
    if len(bio) < len(card.bio(lambda text: True)):
        told += " The bio is cut to a quarter of the context."
    if card.left_out:
        told += f" Left out: {', '.join(card.left_out)}."
    yield Notice(told)


def _within(dialogue: Dialogue, n_tokens: int) -> Callable[[str], bool]:
    """Whether a text has `n_tokens` tokens at most; much too long ones are not even counted."""
    engine = dialogue.generator.engine
    return lambda text: len(text) <= 16 * n_tokens and len(engine.tokenize(text)) <= n_tokens
