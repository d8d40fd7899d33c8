"""A log cut into conversations, each with the opening that Relay expects.

A conversation ends with a silence, when the model leaves or comes in, when the channel changes, and
when it reaches the limit of messages or tokens. It ends with a line of the model, since lines that
nobody answered teach no answer; where it is cut for its size, they go into the next one.

The opening: the channel is joined, its topic set if the log has shown it, and a bio asked for if
there is one. Whoever came in last before the first line has joined the other; if nobody did,
whoever speaks first. So both openings that Relay knows occur: `anon has joined`, as a chat begins,
and `user has joined`, as after `/join`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from relay_gguf.conversation.messages import (
    DEFAULT_CHANNEL,
    NICKS,
    Message,
    Role,
    cast,
    join,
    other,
    topic,
)

from .drafts import Conversation, ConversationDraft, ConversationLimits
from .logs.clock import BACKWARDS
from .logs.log_line import LineKind, LogLine, fold
from .people import People
from .secrets import Secrets
from .tally import Tally
from .token_count import Count
from .turns import LogTurn, LogTurns

_TWO: Final[tuple[Role, Role]] = ("model", "input")
_HEARD: Final = frozenset(LineKind) - {LineKind.OTHER, LineKind.MODE, LineKind.NOTICE}
_TALK: Final = frozenset(
    {LineKind.SAID, LineKind.ACTED, LineKind.TOPIC, LineKind.BIO, LineKind.USED, LineKind.JOINED}
)


class Segmenter:
    """The conversations of one log, made as its lines come in."""

    def __init__(
        self,
        *,
        channel: str,
        people: People,
        turns: LogTurns,
        secrets: Secrets,
        count: Count,
        limits: ConversationLimits,
        bios: Mapping[str, str],
        topics: bool,
        tally: Tally,
    ) -> None:
        """Begin a log.

        Args:
            channel: the channel's name; empty if only the lines tell it.
            people: who is the model.
            turns: makes turns of lines.
            secrets: finds messages to leave out.
            count: counts the tokens of a message.
            limits: of a conversation.
            bios: folded nick → bio.
            topics: whether topics are kept.
            tally: counts messages and conversations that are left out.
        """
        self._fixed = bool(channel)
        self._channel = _bare(channel) or DEFAULT_CHANNEL
        self._people, self._turns, self._secrets = people, turns, secrets
        self._count, self._limits, self._bios = count, limits, bios
        self._topics, self._tally = topics, tally
        self.done: list[Conversation] = []  # the caller takes them away
        self._topic = ""
        self._draft: ConversationDraft | None = None
        pairs = [cast(NICKS, role, bio) for bio in bios.values() for role in _TWO]
        self._bio_size = 4 if bios else 0
        self._bio_tokens = 2 * max((sum(map(count, pair)) for pair in pairs), default=0)
        self._openings: dict[tuple[Role, str, str], tuple[tuple[Message, ...], int]] = {}
        self._held: LogTurn | None = None  # begins with a slash, and may be a command
        self._came: tuple[Role, float | None] | None = None
        self._last: float | None = None

    def feed(self, line: LogLine) -> None:
        """Take a line; conversations that it ends are in `done`."""
        kind, people = line.kind, self._people
        if kind is LineKind.NOTICE:
            self._secrets.has_service(line.nick)
        if kind not in _HEARD:
            return
        if kind is LineKind.ENTERED:
            self._drop_held("/join")
        leaves = kind is LineKind.LEFT and people.is_model(line.nick)
        people.follow(line)
        if kind in _TALK and self._is_silence(line.time):
            self._close()
        if line.channel and not self._fixed and _bare(line.channel) != self._channel:
            self._close()
            self._channel, self._topic = _bare(line.channel), ""
        if kind is LineKind.SAID or kind is LineKind.ACTED:
            self._talk(line)
        elif kind is LineKind.TOPIC:
            self._retopic(line)
        elif kind is LineKind.ENTERED:
            self._close()
            self._topic, self._came = "", None
        elif kind is LineKind.JOINED:
            role = self._turns.role(line.nick)
            if role == "model":
                self._close()
            if self._draft is None and self._held is None:
                self._came = role, line.time
        elif leaves:
            self._close()
        elif kind is LineKind.BIO or kind is LineKind.USED:
            self._exported(line)

    def finish(self) -> list[Conversation]:
        """End the log; the conversations that were not taken away yet, the last one included."""
        self._close()
        return self.done

    def _talk(self, line: LogLine) -> None:
        """Somebody says or does something."""
        text = line.text
        if not text or text.isspace():
            self._tally.empty += 1
            return
        if self._secrets.has(line.nick, text):
            return
        if line.kind is LineKind.ACTED:
            self._drop_held("/slap", "/me")
            turn = self._turns.acted(line)
        else:
            turn = self._turns.said(line)
        self._release()
        if line.kind is LineKind.SAID and text[0] == "/":
            self._held = turn
        else:
            self._add(turn)
        self._last = line.time

    def _retopic(self, line: LogLine) -> None:
        """The topic is shown or changed."""
        text = self._turns.clean(line.text)
        if text and self._secrets.has(line.nick, line.text):
            text = ""
        who = self._drop_held("/topic") or (self._turns.role(line.nick) if line.nick else None)
        self._release()
        exported = who is not None and not line.nick
        is_new = exported or (self._draft is not None and text != self._topic)
        if text and who is not None and is_new and self._topics:
            self._add(self._turns.topic(line, who, self._channel, text))
        self._topic = text

    def _exported(self, line: LogLine) -> None:
        """A command, or the bio that it asked for, in an export of ours."""
        if line.kind is LineKind.USED:
            self._drop_held(line.text.partition(" ")[0])
            self._release()
            if not self._secrets.has(line.nick, line.text):
                self._add(self._turns.used(line))
        else:
            asks = self._drop_held("/whois") or other(self._turns.role(line.nick))
            self._release()
            if line.text and not self._secrets.has(line.nick, line.text):
                self._add(self._turns.bio(line, asks))

    def _drop_held(self, *commands: str) -> Role | None:
        """Drop the held line if it is one of these commands, as its answer tells both; its role."""
        held = self._held
        if held is None or held.messages[0].content.partition(" ")[0] not in commands:
            return None
        self._held = None
        return held.role

    def _release(self) -> None:
        """Add the held line: it began with a slash and was not a command."""
        held, self._held = self._held, None
        if held is not None:
            self._add(held)

    def _is_silence(self, time: float | None) -> bool:
        last = self._last
        if time is None or last is None:
            return False
        return time - last > self._limits.gap or time < last - BACKWARDS

    def _add(self, turn: LogTurn) -> None:
        limits = self._limits
        tokens = sum(map(self._count, turn.messages))
        if self._opening(turn.role)[1] + self._bio_tokens + tokens > limits.max_tokens:
            self._tally.too_long += 1
            return
        draft = self._draft
        if draft is None:
            draft = self._draft = self._open(turn)
        elif draft.tokens + tokens <= limits.max_tokens and limits.joins(draft.turns[-1], turn):
            before = draft.turns[-1]
            content = f"{before.messages[0].content}\n{turn.messages[0].content}"
            draft.turns[-1] = turn._replace(messages=(Message(NICKS[turn.role], content),))
            draft.tokens += tokens
            draft.costs[-1] += tokens
            return
        if not draft.has_room(turn, tokens, limits):
            rest = _after_last_reply(draft.turns)
            if 2 * len(rest) > len(draft.turns):
                rest = []
            carried = draft.costs[len(draft.costs) - len(rest) :]
            self._close(carry=len(rest))
            draft = self._draft = self._open((rest or [turn])[0])
            for each, cost in zip(rest, carried, strict=True):
                draft.put(each, cost)
            if not draft.has_room(turn, tokens, limits):  # too long with the lines that it answers
                self._close()
                draft = self._draft = self._open(turn)
        draft.put(turn, tokens)

    def _open(self, first: LogTurn) -> ConversationDraft:
        """A conversation that begins with a turn; there is room in it for the longest bios."""
        arrived = first.role
        came, self._came = self._came, None
        if came is not None and not self._is_long_ago(came[1], first.time):
            arrived = came[0]
        scene, tokens = self._opening(arrived)
        return ConversationDraft(
            scene, tokens, len(scene) + self._bio_size, tokens + self._bio_tokens
        )

    def _is_long_ago(self, came: float | None, now: float | None) -> bool:
        return came is not None and now is not None and now - came > self._limits.gap

    def _opening(self, arrived: Role) -> tuple[tuple[Message, ...], int]:
        """The messages that a conversation opens with, and their tokens."""
        shown = self._topic if self._topics else ""
        key = arrived, self._channel, shown
        if key not in self._openings:
            lines = join(NICKS, other(arrived), self._channel)
            if shown:
                lines += topic(NICKS, "input", self._channel, shown)
            if len(self._openings) > 8:
                self._openings.clear()
            self._openings[key] = lines, sum(map(self._count, lines))
        return self._openings[key]

    def _close(self, carry: int = 0) -> None:
        """End the conversation; its last `carry` turns belong to the next one."""
        if not carry:
            self._release()
        draft, self._draft = self._draft, None
        self._last = None if not carry else self._last
        if draft is None:
            return
        turns, costs = draft.turns, draft.costs
        del turns[len(turns) - carry :], costs[len(costs) - carry :]
        replies = sum(turn.replies for turn in turns)
        if not replies:
            self._tally.without_reply += 1
            return
        rest = _after_last_reply(turns)
        del turns[len(turns) - len(rest) :], costs[len(costs) - len(rest) :]
        self._tally.unanswered += sum(len(turn.messages) for turn in rest)
        if replies < self._limits.min_replies:
            self._tally.too_few_replies += 1
            return
        bios = list(self._bio_lines(turns))
        lines = [*draft.opening, *bios]
        for turn in turns:
            lines += turn.messages
        tokens = draft.opening_tokens + sum(map(self._count, bios)) + sum(costs)
        self.done.append(Conversation(tuple(lines), replies, tokens))

    def _bio_lines(self, turns: list[LogTurn]) -> Iterator[Message]:
        """The bio of the model, and of the other person if there is only one."""
        for role in _TWO if self._bios else ():
            nicks = {fold(turn.nick) for turn in turns if turn.role == role}
            bio = self._bios.get(nicks.pop(), "") if len(nicks) == 1 else ""
            if bio:
                yield from cast(NICKS, other(role), bio)


def _after_last_reply(turns: list[LogTurn]) -> list[LogTurn]:
    """The turns that the model has not answered."""
    start = len(turns)
    while start and not turns[start - 1].replies:
        start -= 1
    return turns[start:]


def _bare(channel: str) -> str:
    """A channel's name without its #, as `join` takes it."""
    return channel.removeprefix("#")
