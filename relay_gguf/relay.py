"""`RelayLM`: a model and its context under the words of the original's declarative API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .conversation import messages as rules
from .conversation.events import Event, Piece, Said, Trimmed
from .conversation.export import write_context
from .conversation.generator import Generator
from .conversation.messages import DEFAULT_CHANNEL, Message, Role
from .engine import Engine, HasSeats
from .errors import CommandError
from .sampling import DEFAULTS, SamplingParams


class RelayLM:
    """A model in an IRC channel.

    `context` is what the model reads next: a list of `{"role": nick, "content": text}`, yours to
    read and change. `nicks` maps the roles `system`, `model` and `input` to nicks; `channel` is
    where the scene plays.
    """

    def __init__(
        self,
        model_name_or_path: str | Path | None = None,
        temperature: float = DEFAULTS.temperature,
        *,
        engine: Engine | None = None,
        exact_trim: bool = False,
        n_threads: int | None = None,
        n_ctx: int | None = None,
        n_gpu_layers: int | None = None,
        kv_type: str | None = None,
        main_gpu: int | None = None,
        tensor_split: Sequence[float] | None = None,
        no_gpu: bool = False,
        workers: str | Sequence[str] = (),
        n_slots: int = 1,
        **sampling: Any,
    ) -> None:
        """Load a model, or take an engine.

        Args:
            model_name_or_path: a GGUF file, or a repository of the hub (see `locate.locate`).
            temperature: 0 always takes the likeliest token.
            engine: used instead of a file; the caller closes it. Many may share a `BatchEngine`.
            exact_trim: when the context is full, evaluate what stays anew instead of moving it
                within the cache: slower, and as if the dropped turns had never been read.
            n_threads: threads on the CPU; None is one for each physical core.
            n_ctx: tokens of context; None is 4096, or less where memory is short.
            n_gpu_layers: layers on a GPU, -1 for all; None is as many as fit.
            kv_type: `f16`, `q8_0` or `q4_0`: how keys and values are kept.
            main_gpu: the only GPU to use, as `relay-gguf devices` counts them.
            tensor_split: the share of each GPU; None is by the memory that they have free.
            no_gpu: keep the model off every GPU.
            workers: HOST[:PORT] of machines that run `relay-gguf worker`; their devices count as
                GPUs, before those of this machine.
            n_slots: replies at once, in a `BatchEngine`; 1 is an engine for one conversation.
            sampling: further fields of `SamplingParams`, such as top_k, max_tokens and seed.

        Raises:
            ModelError: the file cannot be used, or does not fit into memory.
            SettingsError: a value is outside its range, or wants a GPU that is not there.
            WorkerError: a worker does not answer, or something else answers there.
        """
        params = SamplingParams(temperature=temperature, **sampling)
        if engine is None:
            if model_name_or_path is None:
                raise TypeError("RelayLM needs a model file or an engine.")
            from .fit.plan import LoadOptions
            from .models.opening import load_named

            split = None if tensor_split is None else tuple(tensor_split)
            others = (workers,) if isinstance(workers, str) else tuple(workers)
            options = LoadOptions(
                n_ctx, n_gpu_layers, kv_type, main_gpu, split, no_gpu, others, n_slots
            )
            engine = load_named(model_name_or_path, options, n_threads=n_threads)
        self.engine = engine
        own = engine.seat() if isinstance(engine, HasSeats) else engine
        self._generator = Generator(own, params, exact_trim=exact_trim)
        self.encoder = self._generator.encoder
        self.seed = self._generator.seed
        self.channel = DEFAULT_CHANNEL
        self.context: list[dict[str, str]] = []
        self._retried, self._known = list[Message](), list[str]()

    @classmethod
    def demo(cls, temperature: float = DEFAULTS.temperature, **options: Any) -> RelayLM:
        """Load the small demo model, which is made on first use, and open a scene.

        It is a toy: `suggest_relay_model` finds Relay itself.

        Args:
            temperature, options: those of `RelayLM`.

        Raises:
            ModelError: the `demo` extra is not installed, or as `RelayLM`.
        """
        from .models.demo import SCENE, made_demo

        relay = cls(made_demo(), temperature, **options)
        relay.join("model", SCENE.channel)
        relay.topic("input", SCENE.topic)
        relay.cast("input", SCENE.bio)
        return relay

    def beside(self) -> RelayLM:
        """A copy of the conversation, to go on by itself with the same engine."""
        other = RelayLM(engine=self.engine, exact_trim=self.exact_trim)
        other._generator = self._generator.beside(other._generator.engine)
        other.encoder, other.seed = self.encoder, other._generator.seed
        other.channel, other.context = self.channel, [dict(entry) for entry in self.context]
        return other

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

    # The context

    def init_context(self) -> None:
        """Empty the context."""
        self.context = []

    def get_last(self) -> dict[str, str]:
        """The last entry of the context; an empty dict if the context is empty."""
        return self.context[-1] if self.context else {}

    def message(self, role: Role, content: str) -> None:
        """Let `role` say something: add it to the context."""
        self._add(Message(self.nicks[role], content))

    def join(self, role: Role, channel: str) -> None:
        """Begin a scene in a channel; the context before it is gone.

        Raises:
            CommandError: the channel has no name. The context stays, as after all such errors.
        """
        lines = rules.join(self.nicks, role, channel)
        self.init_context()
        self._add(*lines)
        self.channel = channel

    def topic(self, role: Role, text: str) -> None:
        """Set the channel's topic."""
        self._add(*rules.topic(self.nicks, role, self.channel, text))

    def cast(self, role: Role, desc: str) -> None:
        """Give a bio to the other speaker: `role` asks who that is, IRC answers."""
        self._add(*rules.cast(self.nicks, role, desc))

    def slap(self, role: Role) -> None:
        """Slap the other speaker with a large trout."""
        self._add(*rules.slap(self.nicks, role))

    def wildcard(self, role: Role, cmd: str, arg: str = "") -> None:
        """Use any other command, `cmd` with its slash: the model decides what it means."""
        self._add(*rules.wildcard(self.nicks, role, cmd, arg))

    def reset(self, role: Role = "model") -> None:
        """Begin again in the first channel: `role` joins #random."""
        self.join(role, DEFAULT_CHANNEL)

    def export(self, path: str | Path | None = None) -> Path:
        """Write the context as JSON lines of role, content and model; returns the file's path.

        Args:
            path: a file, or a folder for a file that is named after the time; None is the current
                folder. A file that exists is never overwritten: the name gets a number.

        Raises:
            OSError: the file cannot be written.
        """
        return write_context(self.context, self.engine.name, path)

    def _add(self, *lines: Message) -> None:
        self.context += [{"role": line.nick, "content": line.content} for line in lines]

    @property
    def _lines(self) -> list[Message]:
        return [Message(entry["role"], entry["content"]) for entry in self.context]

    # Generating

    def respond(self, role: Role = "model", on_text: Callable[[str], None] | None = None) -> str:
        """Let `role` say something, add it to the context, and return it.

        Args:
            role: `model` to answer, `input` to write your side too.
            on_text: called with each piece of the text as it comes.

        Raises:
            ContextError: the newest turn alone is longer than the context.
            EngineError: the model failed. What it had written is in the context.
        """
        return self._said(self.speak(role), on_text)

    def retry(self, role: Role = "model", on_text: Callable[[str], None] | None = None) -> str:
        """Let `role`, who must have spoken last, say something else, unlike all retries before.

        As `/retry` in the chat, it draws until it differs, the last times at a higher temperature;
        at temperature 0 it takes what comes. Empty if nothing else comes: the message stays.

        Raises:
            CommandError: the last message is not of `role`. Also what `respond` raises.
        """
        if self.get_last().get("role") != self.nicks[role]:
            raise CommandError(f"Nothing to retry: {self.nicks[role]} did not speak last.")
        *lines, last = self._lines
        known = self._known if lines[-8:] == self._retried else []
        self._retried, self._known = lines[-8:], [*known, last.content]
        events = self._trimming(self._generator.another(lines, role, self._known))
        return self._said(events, on_text, replaced=1)

    def _said(
        self, events: Iterator[Event], on_text: Callable[[str], None] | None, *, replaced: int = 0
    ) -> str:
        content = ""
        for event in events:
            match event:
                case Piece(text) if on_text is not None:
                    on_text(text)
                case Said(message):
                    content = message.content
                    del self.context[len(self.context) - replaced :]
                    self._add(message)
        return content

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

    def cancel(self) -> None:
        """Stop the reply in flight, from any thread or signal handler; without one, nothing."""
        self._generator.cancel()

    def close(self) -> None:
        """Free the model, as leaving a `with` block does, and dropping the last reference."""
        self.engine.close()

    def __enter__(self) -> RelayLM:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # The context window

    @property
    def reserve(self) -> int:
        """Tokens of the context that stay free for a reply."""
        return self._generator.reserve

    def sizes(self, lines: Sequence[Message]) -> list[int]:
        """Tokens that each message takes in a prompt."""
        return self._generator.sizes(lines)

    def check_room(self, added: Sequence[Message], *, fresh: bool, answered: bool) -> None:
        """Refuse messages that the context could not hold even with all old turns gone.

        Args:
            added: the messages of one turn, not yet in the context.
            fresh: they begin a scene.
            answered: the model replies next; otherwise room for a message is kept as well.

        Raises:
            ContextError: there is no room; the text has the number of tokens.
        """
        before = [] if fresh else self._lines
        self._generator.check_room([*before, *added], answered=answered)
