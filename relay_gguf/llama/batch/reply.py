"""A reply in progress: what it has so far, and where it stands in the cache."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from relay_gguf.llama.draw.chooser import Chooser
from relay_gguf.sampling import Seen, draw_seed

from .continuation import Continuation


class Reply:
    """A request from its submission to its last token, in a slot or waiting for one.

    `ids` are the prompt and the tokens that followed. All but the last must be in the cache before
    the next token can be drawn: `left` says how many are not, and at 0 the reply is running.
    """

    def __init__(
        self,
        handle: int,
        request: Continuation,
        n_ctx: int,
        now: float,
        breakers: Callable[[], frozenset[int]],
    ) -> None:
        """Begin at the time `now`, in seconds, with room for `n_ctx` tokens."""
        params = request.params
        self.handle = handle
        self.request = request
        self.ids = list(request.prompt)
        self.seq: int | None = None
        self.n_past = 0
        self.n_drawn = 0
        self.evaluated = 0  # tokens of the prompt, since it has its slot
        self.reused = 0  # tokens of the prompt that were in the cache
        self.due = 0  # of a queue of prompts, the earliest is read first
        self.leader: Leader | None = None  # who is reading what this one begins with
        self.began = now
        self.chooser = Chooser(
            params,
            random.Random(draw_seed() if params.seed is None else params.seed),
            Seen(self.ids, room=n_ctx + 1),  # after a full context comes one more token
            self.ids,
            breakers() if params.dry_multiplier else frozenset(),
            request.look,
            request.scored,
        )

    @property
    def left(self) -> int:
        """Tokens to read before the next one can be drawn."""
        return len(self.ids) - 1 - self.n_past

    @property
    def unread(self) -> list[int]:
        """The tokens that must be in the cache and are not: the last one is not among them."""
        return self.ids[self.n_past : -1]

    def add(self, token: int) -> None:
        """Take in the next token."""
        self.ids.append(token)
        self.chooser.seen.add(token)
        self.n_drawn += 1


@dataclass(frozen=True, slots=True)
class Leader:
    """A reply that is reading `n_tokens` with which another one's prompt begins too."""

    reply: Reply
    n_tokens: int

    @property
    def goes_on(self) -> bool:
        """Whether it has a slot, and has not read so far."""
        return self.reply.seq is not None and self.reply.n_past < self.n_tokens
