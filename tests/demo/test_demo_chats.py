"""What the demo's adapter learns from: the channel's own lines, and not the scenes of its exam."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from demo.chats import conversation
from roleplay import Scene, read_scenes

from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.commands import COMMANDS
from relay_gguf.conversation.messages import NICKS, Message

CHATS = [conversation(random.Random(seed)) for seed in range(1500)]
SAID = {message.content.lower() for chat in CHATS for message in chat}


def test_they_are_the_same_each_time() -> None:
    assert [conversation(random.Random(seed)) for seed in range(20)] == CHATS[:20]
    assert len({str(chat) for chat in CHATS}) == len(CHATS)


def test_they_are_made_of_what_relays_commands_write() -> None:
    """Each line of IRC's own follows the command that brings it about."""
    for chat in CHATS:
        first = chat[0]
        who = "input" if first.nick == NICKS["input"] else "model"
        channel = first.content.removeprefix("/join #")
        assert tuple(chat[:3]) == rules.join(NICKS, who, channel)
        for before, notice in pairwise(chat[2:]):
            if notice.nick == NICKS["system"]:
                assert (before, notice) == _written(before, notice, channel)
        assert chat[-1].nick == NICKS["model"], "the model has the last word"
        assert not [line for line in chat if "{" in line.content or not line.content.strip()]


def _written(before: Message, notice: Message, channel: str) -> tuple[Message, ...]:
    command, _, rest = before.content.partition(" ")
    who = "input" if before.nick == NICKS["input"] else "model"
    if command == "/topic":
        return rules.topic(NICKS, who, channel, rest)
    if command == "/whois":
        return rules.cast(NICKS, who, notice.content.partition("'s bio: ")[2])
    if command == "/slap":
        return rules.slap(NICKS, who)
    assert command.removeprefix("/") not in COMMANDS
    return rules.wildcard(NICKS, who, command, rest)


EXAM = [scene for scene in read_scenes() if scene.kind not in ("slap", "talk")]


@pytest.mark.parametrize("scene", EXAM, ids=lambda scene: " | ".join(scene.lines))
def test_the_exam_is_not_in_the_lessons(scene: Scene) -> None:
    """What a scene is about; that somebody says hi, or asks what there is to be asked, may be."""
    about = [line for line in scene.lines if line.startswith("/")] or [scene.lines[0]]
    for line in about:
        text = line.lower().removeprefix("/cast ").removeprefix("/topic ")
        assert not [said for said in SAID if text in said], text
