"""The protocol of an engine: token ids in, token ids out.

`relay_gguf.LlamaEngine` is the real one. Anything with these methods will do in its place:
the tests bring an engine of bytes, and `RelayLM(engine=...)` takes yours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from .sampling import SamplingParams

FinishReason = Literal["stop", "length", "context", "cancelled"]


@dataclass(frozen=True, slots=True)
class ControlTokens:
    """The ids that frame a message. `bos` is None if the model's file asks for no BOS token."""

    im_start: int
    im_end: int
    bos: int | None = None
    bos_text: str = ""


@dataclass(frozen=True, slots=True)
class Prefilling:
    """The prompt is being evaluated: `done` of `total` new tokens so far.

    Between two chunks, `done` is an estimate; `seconds_left` is one always, None where the speed is
    not known yet.
    """

    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Prefilled:
    """The prompt is evaluated: `evaluated` tokens in `seconds`, `reused` came from the cache."""

    evaluated: int
    reused: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token."""

    id: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a generation; `seconds` is the time from the first token on.

    stop: the model ended its turn. length: max_tokens were generated. context: n_ctx is full.
    cancelled: `cancel` was called.
    """

    reason: FinishReason
    seconds: float


@dataclass(frozen=True, slots=True)
class Moved:
    """The model had to be loaded again, as `text` tells; comes before the first other step."""

    text: str


Step = Moved | Prefilling | Prefilled | Token | Finished


class Vocabulary(Protocol):
    """Text to ids and back."""

    @property
    def control(self) -> ControlTokens:
        """The tokens that frame a message."""

    def tokenize(self, text: str) -> list[int]:
        """The ids of `text`, in which control tokens are plain text; no BOS."""

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty for a control token."""


class Engine(Protocol):
    """A language model with a cache of the last prompt."""

    @property
    def name(self) -> str:
        """The model's name, for people."""

    @property
    def vocabulary(self) -> str:
        """A fingerprint of the vocabulary: equal where token ids mean the same."""

    @property
    def n_ctx(self) -> int:
        """Tokens that a prompt and its reply may have together."""

    @property
    def control(self) -> ControlTokens:
        """The tokens that frame a message."""

    def tokenize(self, text: str) -> list[int]:
        """The ids of `text`, in which control tokens are plain text; no BOS."""

    def piece(self, token: int) -> bytes:
        """The bytes of a token; empty for a control token."""

    def generate(self, prompt: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        """Evaluate the new tokens of `prompt`, then yield generated ones, and `Finished` at last.

        The token that ends a message is not yielded. Closing the iterator cancels.
        """

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        """Remove `prompt[start:stop]` from the cache and move what follows up.

        Returns:
            Whether that was done. The cache may not hold `prompt[:stop]`, or not be able to move:
            the next `generate` then evaluates more, with the same result.
        """

    def cancel(self) -> None:
        """End the generation in flight, from any thread; without one, the next."""

    def close(self) -> None:
        """Free the model. A second call does nothing."""


@runtime_checkable
class ReadsAhead(Protocol):
    """An engine that can evaluate a prompt before a reply is asked for."""

    def prepare(self, prompt: Sequence[int]) -> None:
        """Begin to evaluate `prompt` but for its last token, and return at once.

        Whatever is asked of the engine next ends that.
        """


@runtime_checkable
class HasSeats(Protocol):
    """An engine of many replies at once, in which each conversation has an engine of its own."""

    def seat(self) -> Engine:
        """An engine for one conversation: its `cancel` ends that one's reply alone."""


@runtime_checkable
class Widens(Protocol):
    """An engine for one conversation that can draw several replies at once for a while."""

    def widened(
        self, prompt: Sequence[int], n_replies: int, n_tokens: int
    ) -> AbstractContextManager[HasSeats | None]:
        """Room for several replies to one prompt, until the block is left.

        Args:
            prompt: what all of them begin after.
            n_replies: how many there will be.
            n_tokens: of each, at most.

        Returns:
            Seats for them; None where memory is short, or most of the prompt was not read yet.
        """
