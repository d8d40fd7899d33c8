"""Messages as token ids, and the choice of turns that stay when the context is full.

The prompt is ids, not text. `<|im_start|>` and `<|im_end|>` are ids; `nick\\ncontent` is tokenized
as one string in which control tokens are plain text, so a typed `<|im_end|>` forges no turn. The
ids of a generated reply are remembered: its text is never tokenized again, and the cache of the
engine keeps matching.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.engine import Vocabulary
from relay_gguf.errors import ContextError, EngineError

from .messages import Message, Role

TRIM_TARGET = 0.6
"""Share of the context that stays after a trim. Trimming in large steps makes it rare."""


def render(messages: Iterable[Message], nick: str, opening: str = "", bos_text: str = "") -> str:
    """The prompt as text, exactly as the original builds it: for people, logs and tests."""
    turns = "".join(f"{IM_START}{m.nick}\n{m.content}{IM_END}\n" for m in messages)
    return f"{bos_text}{turns}{IM_START}{nick}\n{opening}"


class Encoder:
    """Encodes messages for one engine, and remembers the ids of each."""

    def __init__(self, engine: Vocabulary) -> None:
        """Remember nothing yet."""
        self._engine = engine
        self._newline = tuple(engine.tokenize("\n"))
        self._bodies: dict[tuple[str, str], tuple[int, ...]] = {}

    def body(self, nick: str, content: str) -> tuple[int, ...]:
        """The ids of `nick\\ncontent`, which stand between the control tokens."""
        key = (nick, content)
        ids = self._bodies.get(key)
        if ids is None:
            ids = self._bodies[key] = tuple(self._engine.tokenize(f"{nick}\n{content}"))
        return ids

    def remember(self, nick: str, content: str, body: Sequence[int]) -> None:
        """Keep the ids that a model generated for a message.

        If the same nick said the same text before in other ids, the first ones stay: those are
        deep in the cache, these are at its end and cheap to evaluate again.
        """
        if content.endswith("\ufffd"):  # half a character: which one, only its own ids know
            self._bodies[nick, content] = tuple(body)
        self._bodies.setdefault((nick, content), tuple(body))

    def recall(self, message: Message, body: Sequence[int]) -> None:
        """Remember ids that were read from a file, if they spell the message and nothing else.

        Anybody can edit a file: a control token, which has no text, or another nick's line under
        an innocent text would forge a turn. What does not fit is tokenized anew, as typed text is.
        """
        try:
            pieces = [self._engine.piece(token) for token in body]
        except EngineError:
            return
        nick, _, content = b"".join(pieces).decode("utf-8", "replace").partition("\n")
        if all(pieces) and nick.strip() == message.nick.strip() and content == message.content:
            self.remember(message.nick, message.content, body)

    def message(self, message: Message) -> tuple[int, ...]:
        """The ids of a whole turn, control tokens and the newline after it included."""
        control = self._engine.control
        body = self.body(message.nick, message.content)
        return (control.im_start, *body, control.im_end, *self._newline)

    def opening(self, nick: str, text: str = "") -> tuple[int, ...]:
        """The ids that ask for a message of `nick`, one that begins with `text`."""
        return (self._engine.control.im_start, *self.body(nick, text))

    def prompt(self, messages: Iterable[Message], nick: str, opening: str = "") -> list[int]:
        """The ids of the whole prompt; BOS first where the model's file asks for it."""
        bos = self._engine.control.bos
        ids = [] if bos is None else [bos]
        for message in messages:
            ids.extend(self.message(message))
        ids.extend(self.opening(nick, opening))
        return ids


def turns(messages: Sequence[Message], nicks: Mapping[Role, str]) -> list[range]:
    """The messages grouped into turns, as ranges of their indices.

    A turn begins where someone speaks, and takes in the system lines and the model's reply that
    follow. What the model says is no reply if it is a command, which a system line answers.
    """
    if not messages:
        return []
    starts: list[int] = []
    replied = True
    following = [*(message.nick for message in messages[1:]), ""]
    for index, (message, follower) in enumerate(zip(messages, following, strict=True)):
        is_model = message.nick == nicks["model"]
        acts = message.content.startswith("/") and follower == nicks["system"]
        opens = message.nick != nicks["system"] and (replied or acts or not is_model)
        if opens or index == 0:
            starts.append(index)
            replied = is_model
        elif is_model:
            replied = True
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(messages)], strict=True)]


def _pins(turn: Sequence[Message], system: str) -> str | None:
    """Which fact about the scene a turn sets, if any; the newest turn that sets it is pinned."""
    if len(turn) < 2 or turn[1].nick != system:
        return None
    said, answer = turn[0].content, turn[1].content
    if said.startswith("/join #") and answer.startswith("* Now talking in #"):
        return "join"
    if said.startswith("/topic ") and answer.startswith("* Topic for #"):
        return "topic"
    if said.startswith("/whois ") and answer.startswith(f"* {said[len('/whois ') :]}'s bio: "):
        return said
    return None


def pinned(
    messages: Sequence[Message], groups: Sequence[range], nicks: Mapping[Role, str]
) -> frozenset[int]:
    """Which turns never leave the context: the join, the newest topic, each nick's newest bio."""
    newest: dict[str, int] = {}
    for index, group in enumerate(groups):
        pin = _pins(messages[group.start : group.stop], nicks["system"])
        if pin is not None:
            newest[pin] = index
    return frozenset(newest.values())


def fit(sizes: Sequence[int], pinned: frozenset[int], limit: int, target: int) -> list[int]:
    """Which turns to drop, oldest first, so that the rest fits.

    Args:
        sizes: tokens of each turn. The last one is being answered and always stays.
        pinned: turns that always stay.
        limit: tokens that are too many; up to it, nothing is dropped.
        target: tokens to come down to, once something must go, or `limit` if that is less.

    Raises:
        ContextError: what must stay is over the limit.
    """
    total = sum(sizes)
    if total <= limit:
        return []
    dropped = []
    for index in range(len(sizes) - 1):
        if total <= min(target, limit):
            break
        if index not in pinned:
            dropped.append(index)
            total -= sizes[index]
    if total > limit:
        raise ContextError(
            f"This needs {total} tokens together with the channel's join, topic and bios; the "
            f"context has room for {limit}. Say it in fewer words, or start with a larger --n-ctx."
        )
    return dropped


def spans(sizes: Sequence[int], dropped: Iterable[int], offset: int) -> Iterator[tuple[int, int]]:
    """Token ranges [start, stop) of dropped turns, neighbours joined, last first.

    `offset` is the position of the first turn. Last first, so that removing one leaves the
    positions of those to come unchanged.
    """
    starts = [offset]
    for size in sizes:
        starts.append(starts[-1] + size)
    runs = []
    for _, run in groupby(enumerate(dropped), key=lambda pair: pair[1] - pair[0]):
        indices = [index for _, index in run]
        runs.append((starts[indices[0]], starts[indices[-1] + 1]))
    return reversed(runs)
