"""`RelayLM`: a model and its context under the words of the original's declarative API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .conversation.export import write_context
from .conversation.generator import Generator
from .conversation.messages import Message
from .declarative.speaking import SpeakingScene
from .engine import Engine, HasSeats
from .sampling import DEFAULTS, SamplingParams


class RelayLM(SpeakingScene):
    """A model in an IRC channel.

    `context` is what the model reads next: a list of `{"role": nick, "content": text}`, yours to
    read and change. `nicks` maps the roles `system`, `model` and `input` to nicks; `channel` is
    where the scene plays. What begins with `a` is for asyncio, and does not block its loop.
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
                n_ctx,
                n_gpu_layers,
                kv_type,
                main_gpu,
                split,
                no_gpu,
                others,
                n_slots,
                kv_unified=False,
            )
            engine = load_named(model_name_or_path, options, n_threads=n_threads)
        self.engine = engine
        own = engine.seat() if isinstance(engine, HasSeats) else engine
        super().__init__(Generator(own, params, exact_trim=exact_trim))
        self.encoder = self._generator.encoder
        self.seed = self._generator.seed

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

    # The context

    def export(self, path: str | Path | None = None) -> Path:
        """Write the context as JSON lines of role, content and model; returns the file's path.

        Args:
            path: a file, or a folder for a file that is named after the time; None is the current
                folder. A file that exists is never overwritten: the name gets a number.

        Raises:
            OSError: the file cannot be written.
        """
        return write_context(self.context, self.engine.name, path)

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
