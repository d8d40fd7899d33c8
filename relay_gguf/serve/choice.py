"""One reply while it is drawn: where it stops, what is added to logits, what tokens are worth."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from relay_gguf.engine import Finished, Prefilled, Step, Token
from relay_gguf.errors import EngineError
from relay_gguf.llama.batch.continuation import Continuation

from .request_body import CompletionRequest

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits

FinishWord = Literal["stop", "length"]


class Spells(Protocol):
    """What knows the bytes of tokens."""

    def piece(self, token: int) -> bytes: ...


class Steps(Protocol):
    """A continuation that was asked for."""

    def steps(self) -> Iterator[Step]: ...

    def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token's bytes and its log probability, before any sampling; `top` are the likeliest."""

    spelled: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Wrote:
    """Text that a reply goes on with, empty while a character or a stop text is not decided."""

    text: str
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a reply: tokens of the prompt, of these from the cache, and tokens drawn."""

    reason: FinishWord
    n_prompt: int
    n_cached: int
    n_drawn: int


class Choice:
    """One reply to a prompt. `continuation` is what to ask of the engine."""

    def __init__(
        self, engine: Spells, prompt: Sequence[int], request: CompletionRequest, number: int
    ) -> None:
        """Begin with nothing drawn.

        Args:
            engine: knows the bytes of tokens.
            prompt: token ids.
            request: how to draw.
            number: of this reply among those to the same request; their seeds differ by it.
        """
        self._engine = engine
        self._n_prompt = len(prompt)
        self._request = request
        self._found: deque[Wrote] = deque()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopFinder(request.stop)
        self._row: Logits | None = None
        seed = request.params.seed
        params = request.params
        if seed is not None and number:
            params = replace(params, seed=(seed + number) % (1 << 32))
        looks = request.bias or request.top_logprobs is not None
        self.continuation = Continuation(
            tuple(prompt), params, until=self._until, look=self._look if looks else None
        )

    def events(self, asked: Steps) -> Iterator[Wrote | Ended]:
        """What comes of the continuation, token by token; `Ended` is the last.

        Raises:
            EngineError: the model failed, or the reply was cancelled.
        """
        n_cached = n_drawn = 0
        for step in asked.steps():
            match step:
                case Prefilled(reused=reused):
                    n_cached = reused
                case Token():
                    n_drawn += 1
                    yield self._found.popleft()
                case Finished(reason):
                    if reason == "cancelled":
                        raise EngineError("The reply was cancelled.")
                    if rest := self._stops.feed(self._decoder.decode(b"", True), last=True):
                        yield Wrote(rest)
                    word: FinishWord = "stop" if reason == "stop" else "length"
                    yield Ended(word, self._n_prompt, n_cached, n_drawn)

    # On the engine's thread

    def _look(self, row: Logits) -> None:
        import numpy as np

        if self._request.top_logprobs is not None:
            top = row.max()
            self._row = row - top - np.log(np.exp(row - top).sum())
        for token, value in self._request.bias.items():
            row[token] += value

    def _until(self, token: int) -> bool:
        text = self._stops.feed(self._decoder.decode(self._engine.piece(token)))
        self._found.append(Wrote(text, self._logprob(token)))
        return self._stops.found

    def _logprob(self, token: int) -> TokenLogprob | None:
        import numpy as np

        row, count = self._row, self._request.top_logprobs
        if row is None or count is None:
            return None
        best = np.argpartition(-row, count)[:count] if count else np.empty(0, np.intp)
        top = tuple(
            TokenLogprob(self._engine.piece(int(one)), float(row[one]))
            for one in best[np.argsort(-row[best], kind="stable")]
        )
        return TokenLogprob(self._engine.piece(token), float(row[token]), top)


class StopFinder:
    """Finds texts that end a reply, and holds back what may become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        """Look for any of `stops`; `found` says that one came, after which there is no text."""
        self.found = False
        self._stops = stops
        self._held = ""

    def feed(self, text: str, *, last: bool = False) -> str:
        """The text that is no part of a stop text; the `last` call gives what was held back."""
        if self.found:
            return ""
        text = self._held + text
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        keep = 0 if last else max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of a text with which a stop text begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
