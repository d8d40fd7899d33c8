"""A scene in which a model speaks: what `RelayLM` generates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import overload

from relay_gguf.conversation.alternatives.drawing import Drawing
from relay_gguf.conversation.events import Alternative, Event, Said, Trimmed
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.messages import Message, Role
from relay_gguf.errors import CommandError
from relay_gguf.sampling import SamplingParams

from .awaiting import AsyncForms
from .declared_scene import DeclaredScene
from .said_texts import text_of, texts_of


class SpeakingScene(DeclaredScene, AsyncForms):
    """A scene, and what generates its messages."""

    def __init__(self, generator: Generator) -> None:
        """Begin with an empty context."""
        super().__init__()
        self._generator = generator
        self._retried, self._known = list[Message](), list[str]()

    # How it speaks

    @property
    def params(self) -> SamplingParams:
        """How tokens are chosen; may be set between two messages."""
        return self._generator.params

    @params.setter
    def params(self, params: SamplingParams) -> None:
        self._generator.params = params

    @property
    def nicks(self) -> dict[Role, str]:
        """The nicks of the roles `system`, `model` and `input`, yours to change."""
        return self._generator.nicks

    @nicks.setter
    def nicks(self, nicks: dict[Role, str]) -> None:
        self._generator.nicks = nicks

    @property
    def exact_trim(self) -> bool:
        """Whether what stays of a full context is evaluated anew; may be set at any time."""
        return self._generator.exact_trim

    @exact_trim.setter
    def exact_trim(self, exact_trim: bool) -> None:
        self._generator.exact_trim = exact_trim

    # Generating

    @overload
    def respond(
        self, role: Role = "model", on_text: Callable[[str], None] | None = None
    ) -> str: ...

    @overload
    def respond(self, role: Role = "model", *, n: int) -> list[str]: ...

    def respond(
        self,
        role: Role = "model",
        on_text: Callable[[str], None] | None = None,
        *,
        n: int | None = None,
    ) -> str | list[str]:
        """Let `role` say something, add it to the context, and return it.

        With `n`, so many things to choose from are drawn at once. The first stands in the context;
        `choose` puts another in its place.

        Args:
            role: `model` to answer, `input` to write your side too.
            on_text: called with each piece of the text as it comes; not with `n`.
            n: how many. All differ, so there may be fewer; at temperature 0 there is one.

        Returns:
            The text; with `n` a list of them.

        Raises:
            ContextError: the newest turn alone is longer than the context.
            EngineError: the model failed. What it had written is in the context.
        """
        events = self._responding(role, n)
        return text_of(events, on_text) if n is None else texts_of(events)

    @overload
    def retry(self, role: Role = "model", on_text: Callable[[str], None] | None = None) -> str: ...

    @overload
    def retry(self, role: Role = "model", *, n: int) -> list[str]: ...

    def retry(
        self,
        role: Role = "model",
        on_text: Callable[[str], None] | None = None,
        *,
        n: int | None = None,
    ) -> str | list[str]:
        """Let `role`, who must have spoken last, say something else, unlike all retries before.

        As `/retry` in the chat, it draws until it differs, the last times at a higher temperature;
        at temperature 0 it takes what comes. Empty if nothing else comes: the message stays.

        Args:
            role, on_text, n: as for `respond`.

        Raises:
            CommandError: the last message is not of `role`. Also what `respond` raises.
        """
        events = self._retrying(role, n)
        return text_of(events, on_text) if n is None else texts_of(events)

    def choose(self, content: str) -> None:
        """Put another text in the place of the last message, as one of those `respond(n=4)` gave.

        Raises:
            CommandError: the context is empty.
        """
        if not self.context:
            raise CommandError("Nothing to choose: nobody has spoken yet.")
        self.context[-1]["content"] = content

    def _responding(self, role: Role, n: int | None) -> Iterator[Event]:
        if n is None:
            yield from self._keeping(self.speak(role))
        else:
            self._retried, self._known = self._lines[-8:], []
            yield from self._drawing(role, n)

    def _retrying(self, role: Role, n: int | None) -> Iterator[Event]:
        if self.get_last().get("role") != self.nicks[role]:
            raise CommandError(f"Nothing to retry: {self.nicks[role]} did not speak last.")
        *lines, last = self._lines
        known = self._known if lines[-8:] == self._retried else []
        self._retried, self._known = lines[-8:], [*known, last.content]
        if n is None:
            another = self._generator.another(lines, role, self._known)
            yield from self._keeping(self._trimming(another), replaced=1)
        else:
            yield from self._drawing(role, n, replaced=1)

    def _keeping(self, events: Iterator[Event], *, replaced: int = 0) -> Iterator[Event]:
        """Add what is said to the context, in the place of the last `replaced` messages."""
        for event in events:
            if isinstance(event, Said):
                del self.context[len(self.context) - replaced :]
                self._add(event.message)
            yield event

    def _drawing(self, role: Role, n: int, *, replaced: int = 0) -> Iterator[Event]:
        """Draw several messages; the first of those that came is added to the context."""
        lines = self._lines[: len(self.context) - replaced]
        found: dict[int, Message] = {}
        try:
            drawing = Drawing(self._generator, lines, role, n, self._known)
            for event in self._trimming(drawing.events()):
                match event:
                    case Alternative(row, Said(message)):
                        found[row] = message
                yield event
        finally:
            if found:
                del self.context[len(self.context) - replaced :]
                self._add(found[min(found)])
                self._known += [message.content for message in found.values()]

    def speak(self, role: Role, opening: str = "") -> Iterator[Event]:
        """Generate a message of `role` that begins with `opening`; the last event is `Said`.

        It is not added to the context, which changes only where a full one is trimmed. Without a
        single token (cancelled while it read) there is no `Said`. Raises what `respond` raises.
        """
        yield from self._trimming(self._generator.speak(self._lines, role, opening))

    def _trimming(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, Trimmed):
                self.context[:] = event.kept(self.context)
            yield event

    def prepare(self, text: str = "", role: Role = "input") -> bool:
        """Read the context, and `text` as what `role` is about to say, in the background.

        Returns at once; the next call of the model uses what was read by then, and need not wait.

        Returns:
            Whether the engine can do that, and the context has room.
        """
        return self._generator.prepare(self._lines, role, text)

    @property
    def _taker(self) -> object:
        return self._generator.engine

    def cancel(self) -> None:
        """Stop the reply in flight, from any thread or signal handler; without one, nothing."""
        self._generator.cancel()
