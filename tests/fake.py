"""An engine of bytes that says what it is told, and sessions on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from relay_gguf import SamplingParams
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Event
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session
from relay_gguf.engine import ControlTokens, Finished, FinishReason, Prefilled, Step, Token
from relay_gguf.errors import EngineError

IM_START, IM_END, BOS = 256, 257, 258


class FakeEngine:
    """A vocabulary of bytes and three control tokens; replies come from a queue.

    `prompts` holds the ids of every prompt, `params` how each was sampled, `cache` the ids that a
    real engine's cache would hold.
    """

    name = "fake"

    def __init__(
        self,
        replies: Iterable[str | bytes] = (),
        *,
        n_ctx: int = 1 << 20,
        vocabulary: str = "bytes",
    ) -> None:
        self.replies = deque(replies)
        self.n_ctx = n_ctx
        self.vocabulary = vocabulary
        self.control = ControlTokens(IM_START, IM_END, BOS, "<s>")
        self.prompts: list[list[int]] = []
        self.params: list[SamplingParams] = []
        self.cache: list[int] = []
        self.forgotten: list[tuple[int, int]] = []
        self.on_token: Callable[[int], None] = lambda count: None
        self._cancelled = False

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""

    def generate(self, prompt: Sequence[int], params: SamplingParams) -> Iterator[Step]:
        assert 0 < len(prompt) < self.n_ctx
        self.prompts.append(list(prompt))
        self.params.append(params)
        reused = 0
        while reused < min(len(self.cache), len(prompt) - 1) and (
            self.cache[reused] == prompt[reused]
        ):
            reused += 1
        self.cache = list(prompt)
        yield Prefilled(len(prompt) - reused, reused, 0.5)
        reply = self.replies.popleft() if self.replies else b"ok"
        reply = reply.encode() if isinstance(reply, str) else reply
        reason: FinishReason = "stop" if len(reply) <= params.max_tokens else "length"
        for count, token in enumerate(reply[: params.max_tokens], 1):
            self.on_token(count)
            if self._cancelled:
                reason, self._cancelled = "cancelled", False
                break
            yield Token(token)
            self.cache.append(token)
        yield Finished(reason, 2.0)
        self._cancelled = False

    def forget(self, prompt: Sequence[int], start: int, stop: int) -> bool:
        self.forgotten.append((start, stop))
        if self.cache[:stop] != list(prompt[:stop]):
            return False
        del self.cache[start:stop]
        return True

    def cancel(self) -> None:
        self._cancelled = True

    @property
    def is_cancelled(self) -> bool:
        """Whether the reply in flight was told to stop."""
        return self._cancelled

    def close(self) -> None:
        pass

    def text(self, prompt: Sequence[int]) -> str:
        """A prompt as text, control tokens as their names."""
        names = {IM_START: "<|im_start|>", IM_END: "<|im_end|>", BOS: "<s>"}
        parts = [names[t].encode() if t in names else bytes([t]) for t in prompt]
        return b"".join(parts).decode()


class FakeSeats(FakeEngine):
    """Many replies at once: each conversation has one of these engines, in the order of coming."""

    def __init__(self, *seats: FakeEngine) -> None:
        super().__init__()
        self._seats = iter(seats)

    def seat(self) -> FakeEngine:
        return next(self._seats)


def fake_session(
    replies: Iterable[str | bytes] = (),
    folder: Path | None = None,
    *,
    n_ctx: int = 1 << 20,
    vocabulary: str = "bytes",
    max_tokens: int = 128,
    exports: Path | None = None,
) -> Session:
    """A session on a fake engine, with its first scene open."""
    engine = FakeEngine(replies, n_ctx=n_ctx, vocabulary=vocabulary)
    generator = Generator(engine, SamplingParams(seed=1, max_tokens=max_tokens))
    session = Session(Dialogue(generator, folder, exports=exports, now=lambda: 1_700_000_000.0))
    deque(session.start(), maxlen=0)
    return session


def fails_at(number: int) -> Callable[[int], None]:
    """For `FakeEngine.on_token`: the model fails before its token `number`."""

    def fail(count: int) -> None:
        if count == number:
            raise EngineError("no more")

    return fail


def run(session: Session, *lines: str) -> list[Event]:
    """All events of some typed lines."""
    return [event for line in lines for event in session.submit(line)]


def engine_of(session: Session) -> FakeEngine:
    """The fake engine of a session."""
    engine = session.dialogue.generator.engine
    assert isinstance(engine, FakeEngine)
    return engine
