"""The next message of a conversation, generated: messages in, events out.

A `Generator` holds no context: whoever asks for a message hands over those that the model reads,
and takes out of its own what a `Trimmed` event names. It keeps the ids of what was generated (see
`prompt.Encoder`), so that the engine's cache keeps matching.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from relay_gguf.engine import (
    Engine,
    Finished,
    Moved,
    Prefilled,
    Prefilling,
    ReadsAhead,
    Step,
    Token,
)
from relay_gguf.sampling import SEED_BITS, SamplingParams, draw_seed

from .events import Ended, Event, Notice, Piece, Prompted, Reading, Said, Trimmed, Typing
from .messages import NICKS, Message, Role
from .prompt import TRIM_TARGET, Encoder, fit, pinned, render, spans, turns
from .replies.loop_guard import LoopGuard
from .replies.reply_text import ReplyText
from .replies.unlike import unless

TRIES: Final = 3
"""Replies that are drawn as usual before one is drawn warmer."""
WARMER: Final = (0.3, 0.7)
"""What is added to the temperature then."""
HOTTEST: Final = 100.0


class Stoppable(Protocol):
    """Messages that are being written."""

    def stop(self) -> None:
        """Stop them all, from any thread or signal handler."""

    def only(self, row: int) -> None:
        """Stop all but one, from any thread."""


class Generator:
    """Writes messages with one engine, as `params` say.

    `params`, `exact_trim` and `nicks` may be changed between two messages. `seed` is that of the
    first one, given or drawn; each message has a seed of its own, which follows from it. `drawing`
    are several messages that are being drawn in our name, for `cancel` to stop as well.
    """

    def __init__(self, engine: Engine, params: SamplingParams, *, exact_trim: bool = False) -> None:
        """Write with an engine, which stays the caller's to close.

        Args:
            engine: the model.
            params: how tokens are chosen; a seed of None draws one.
            exact_trim: when the context is full, evaluate what stays anew instead of moving it
                within the cache: slower, and as if the dropped turns had never been read.
        """
        self.engine = engine
        self.params = params
        self.exact_trim = exact_trim
        self.nicks: dict[Role, str] = dict(NICKS)
        self.reseed(draw_seed() if params.seed is None else params.seed)
        self.encoder = Encoder(engine)
        self._turning = threading.RLock()  # a signal handler may cancel in the same thread
        self._generating = False
        self._cancelled = False
        self.drawing: Stoppable | None = None

    def beside(self, engine: Engine) -> Generator:
        """One that writes alike with another engine on the same model; our seed gives its own."""
        params = replace(self.params, seed=self._seeds.getrandbits(SEED_BITS))
        other = Generator(engine, params, exact_trim=self.exact_trim)
        other.nicks, other.encoder = dict(self.nicks), self.encoder
        return other

    def reseed(self, seed: int) -> None:
        """Let the seeds of the messages to come follow from another seed."""
        self.seed = seed
        self._seeds = random.Random(seed)

    def speak(self, lines: Sequence[Message], role: Role, opening: str = "") -> Iterator[Event]:
        """Generate the message of `role` after `lines`; it begins with `opening`.

        The last event is `Said`, unless the generation was cancelled before its first token. If
        the context is full, the first is `Trimmed`: those of `lines` were left out of the prompt.

        Raises:
            ContextError: the newest turn alone is longer than the context.
            EngineError: the model failed; after `Said`, if it had written anything.
        """
        self._cancelled = False
        if trimmed := self.trimmed(lines, role, opening):
            yield trimmed
            lines = trimmed.kept(lines)
        yield from self._write(lines, self.nicks[role], opening)

    def another(
        self, lines: Sequence[Message], role: Role, known: Collection[str]
    ) -> Iterator[Event]:
        """Generate as `speak`, but not one of the texts in `known`.

        What turns out as one of them is not shown, and another is drawn; after `TRIES` at a
        higher temperature, which a notice tells. If all say the same, there is no `Said`. At
        temperature 0 a message is meant to repeat itself, and what comes is taken.

        Raises:
            ContextError, EngineError: as `speak`.
        """
        usual = self.params
        if not usual.temperature:
            yield from self.speak(lines, role)
            return
        warmer = [min(usual.temperature + more, HOTTEST) for more in WARMER]
        temperatures = [*[usual.temperature] * TRIES, *warmer]
        try:
            for temperature in temperatures:
                if temperature != self.params.temperature:
                    yield Notice(f"* The same again; now at temperature {temperature:.2g}:")
                    self.params = replace(usual, temperature=temperature)
                said = False
                for event in unless(known, self.speak(lines, role)):
                    if isinstance(event, Trimmed):
                        lines = event.kept(lines)
                    said = said or isinstance(event, Said)
                    yield event
                if said or self._cancelled:
                    return
        finally:
            self.params = usual
        yield Notice(f"* The model said the same {len(temperatures)} times.")

    def prepare(self, lines: Sequence[Message], role: Role, opening: str = "") -> bool:
        """Let the engine read what a message of `role` after `lines` will begin with, if it can.

        Returns at once. A context that is full is left as it is: what leaves it is not decided yet.

        Returns:
            Whether the engine reads.
        """
        ids = self.encoder.prompt(lines, self.nicks[role], opening)
        if not isinstance(self.engine, ReadsAhead) or len(ids) + self.reserve > self.engine.n_ctx:
            return False
        self.engine.prepare(ids)
        return True

    def cancel(self) -> None:
        """Stop what is in flight, from any thread or signal handler; without it, nothing."""
        with self._turning:
            self._cancelled = True
            if self._generating:
                self.engine.cancel()
        if self.drawing is not None:
            self.drawing.stop()

    def _write(self, lines: Sequence[Message], nick: str, opening: str) -> Iterator[Event]:
        ids = self.encoder.prompt(lines, nick, opening)
        reply = ReplyText(self.engine, opening, self.encoder.body(nick, opening))
        guard = LoopGuard(self.params.loop_guard) if self.params.loop_guard else None
        begun = not getattr(self.engine, "lost", False)  # else `Moved` comes first
        if begun:
            yield Typing(nick, reply.content)
        params = replace(self.params, seed=self._seeds.getrandbits(SEED_BITS))
        text = render(lines, nick, opening, self.engine.control.bos_text)
        count, seconds, loops = 0, 0.0, False
        reason: Ended | None = None
        failure: BaseException | None = None
        try:
            for step in self._steps(ids, params):
                if not begun and not isinstance(step, Moved):
                    begun = True
                    yield Typing(nick, reply.content)
                match step:
                    case Moved(news):
                        yield Notice(f"* {news}")
                    case Prefilling(done, total, seconds_left):
                        yield Reading(done, total, seconds_left)
                    case Prefilled(evaluated, reused):
                        yield Prompted(nick, text, evaluated, reused)
                    case Token(token):
                        count += 1
                        if piece := reply.add(token):
                            yield Piece(piece)
                            if guard is not None and not loops and guard.add(piece):
                                loops = True
                                self.engine.cancel()
                    case Finished(why, duration):
                        reason, seconds = "loop" if loops else why, duration
        except (Exception, KeyboardInterrupt) as error:  # raised below: what is written is kept
            if not count:
                raise
            reason, failure = "failed", error
        if rest := reply.end():
            yield Piece(rest)
        if count or reason == "stop":
            self.encoder.remember(nick, reply.content, reply.body)
            message = Message(nick, reply.content, count, cut=reason != "stop")
            yield Said(message, count, seconds, reason)
        if failure is not None:
            raise failure

    def _steps(self, ids: list[int], params: SamplingParams) -> Iterator[Step]:
        """The engine's steps; `cancel` reaches the engine from the first to the last."""
        self._generating = True
        try:
            if self._cancelled:  # while the prompt was being made
                self.engine.cancel()
            for step in self.engine.generate(ids, params):
                if isinstance(step, Finished):
                    self._done()  # a cancel from here on would end the next one
                yield step
        finally:
            self._done()

    def _done(self) -> None:
        with self._turning:
            self._generating = False

    # The context window

    @property
    def reserve(self) -> int:
        """Tokens of the context that stay free for a reply."""
        return min(self.params.max_tokens, self.engine.n_ctx // 4)

    def sizes(self, lines: Iterable[Message]) -> list[int]:
        """Tokens that each message takes in a prompt, its control tokens included."""
        return [len(self.encoder.message(line)) for line in lines]

    def tokens(self, lines: Iterable[Message]) -> int:
        """Tokens that a prompt has before it asks for a message: BOS and those of `lines`."""
        return self._n_bos + sum(self.sizes(lines))

    def check_room(self, lines: Sequence[Message], *, answered: bool) -> None:
        """Refuse a last turn that the context could not hold even with all old turns gone.

        Args:
            lines: the context, the lines of that turn at its end.
            answered: the model replies next; otherwise room for a message is kept as well.

        Raises:
            ContextError: there is no room; the text has the number of tokens.
        """
        groups, sizes = self._turns(lines)
        reserve = self.reserve if answered else 2 * self.reserve
        limit = self.engine.n_ctx - reserve - self._frame(self.nicks["model"])
        fit(sizes, pinned(lines, groups, self.nicks), limit, target=0)

    def trimmed(self, lines: Sequence[Message], role: Role, opening: str = "") -> Trimmed | None:
        """What must leave a full context, or None; the engine's cache is moved up.

        Raises:
            ContextError: the newest turn alone is longer than the context.
        """
        nick = self.nicks[role]
        groups, sizes = self._turns(lines)
        n_ctx = self.engine.n_ctx
        limit = n_ctx - self.reserve - self._frame(nick, opening)
        stays = pinned(lines, groups, self.nicks)
        dropped = fit(sizes, stays, limit, target=int(n_ctx * TRIM_TARGET))
        if not dropped:
            return None
        if not self.exact_trim:
            ids = self.encoder.prompt(lines, nick, opening)
            for start, stop in spans(sizes, dropped, self._n_bos):
                self.engine.forget(ids, start, stop)
                del ids[start:stop]
        indices = tuple(index for turn in dropped for index in groups[turn])
        return Trimmed(indices, sum(sizes[turn] for turn in dropped))

    def _turns(self, lines: Sequence[Message]) -> tuple[list[range], list[int]]:
        """The turns of a context as ranges of indices, and the tokens of each."""
        groups = turns(lines, self.nicks)
        each = self.sizes(lines)
        return groups, [sum(each[index] for index in group) for group in groups]

    def _frame(self, nick: str, opening: str = "") -> int:
        """Tokens of a prompt that belong to no turn: BOS, and what asks for a message."""
        return self._n_bos + len(self.encoder.opening(nick, opening))

    @property
    def _n_bos(self) -> int:
        return 0 if self.engine.control.bos is None else 1
