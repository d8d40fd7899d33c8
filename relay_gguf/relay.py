"""`RelayLM`: a context, a model, and the words of the original's declarative API."""

from __future__ import annotations

import codecs
import json
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .conversation import messages as rules
from .conversation.events import Event, Notice, Piece, Prompted, Reading, Said, Trimmed, Typing
from .conversation.export import new_file
from .conversation.messages import DEFAULT_CHANNEL, NICKS, Message, Role
from .conversation.prompt import TRIM_TARGET, Encoder, fit, head, render, spans, turns
from .engine import Engine, Finished, FinishReason, Moved, Prefilled, Prefilling, Step, Token
from .errors import CommandError
from .sampling import DEFAULTS, SEED_BITS, SamplingParams, draw_seed


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
        **sampling: Any,
    ) -> None:
        """Load a model, or take an engine.

        Args:
            model_name_or_path: a GGUF file, or a repository of the hub (see `locate.locate`).
            temperature: 0 always takes the likeliest token.
            engine: used instead of a file; the caller closes it.
            exact_trim: when the context is full, evaluate what stays anew instead of moving it
                within the cache: slower, and as if the dropped turns had never been read.
            n_threads: None is one for each physical core.
            n_ctx: tokens of context; None is 4096, or less where memory is short.
            n_gpu_layers: layers on a GPU, -1 for all; None is as many as fit.
            kv_type: `f16`, `q8_0` or `q4_0`: how keys and values are kept.
            main_gpu: the only GPU to use, as `relay-gguf devices` counts them.
            tensor_split: the share of each GPU; None is by what they have free.
            no_gpu: use none.
            workers: HOST[:PORT] of machines that run `relay-gguf worker`; their devices count as
                GPUs, before the own ones.
            sampling: further fields of `SamplingParams`: top_k, top_p, min_p, repeat_penalty,
                max_tokens, seed.

        Raises:
            ModelError: the file cannot be used, or does not fit into memory.
            SettingsError: a value is outside its range, or wants a GPU that is not there.
            WorkerError: a worker does not answer, or is none.
        """
        self.params = SamplingParams(temperature=temperature, **sampling)
        self.nicks: dict[Role, str] = dict(NICKS)
        self.channel = DEFAULT_CHANNEL
        self.context: list[dict[str, str]] = []
        self.exact_trim = exact_trim
        self.seed = draw_seed() if self.params.seed is None else self.params.seed
        self._seeds = random.Random(self.seed)
        self._turning = threading.RLock()  # a signal handler may cancel in the same thread
        self._generating = False
        self._cancelled = False
        if engine is None:
            if model_name_or_path is None:
                raise TypeError("RelayLM needs a model file or an engine.")
            from .fit.plan import LoadOptions
            from .hub.progress import watching
            from .models.locate import locate
            from .models.opening import load

            split = None if tensor_split is None else tuple(tensor_split)
            others = (workers,) if isinstance(workers, str) else tuple(workers)
            options = LoadOptions(n_ctx, n_gpu_layers, kv_type, main_gpu, split, no_gpu, others)
            with watching(yes=True) as screen:
                path = locate(model_name_or_path, screen)
            engine = load(path, options, n_threads=n_threads)
        self.engine = engine
        self.encoder = Encoder(engine)

    # The context

    def init_context(self) -> None:
        """Empty the context."""
        self.context = []

    def get_last(self) -> dict[str, str]:
        """The last entry of the context; an empty dict if there is none."""
        return self.context[-1] if self.context else {}

    def message(self, role: Role, content: str) -> None:
        """Add a message."""
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
        """Give a bio to the other one: `role` asks who that is, IRC answers."""
        self._add(*rules.cast(self.nicks, role, desc))

    def slap(self, role: Role) -> None:
        """Slap the other one with a large trout."""
        self._add(*rules.slap(self.nicks, role))

    def wildcard(self, role: Role, cmd: str, arg: str = "") -> None:
        """Use a command that nobody knows, `cmd` with its slash: the model sees what it means."""
        self._add(*rules.wildcard(self.nicks, role, cmd, arg))

    def reset(self, role: Role = "model") -> None:
        """Back to the first scene: `role` joins #random."""
        self.join(role, DEFAULT_CHANNEL)

    def export(self, path: str | Path | None = None) -> Path:
        """Write the context as JSON lines of role, content and model; the path written.

        A file that exists is never overwritten: the name gets a number.
        """
        name = f"export-relay-gguf-{int(time.time())}.jsonl"
        target = Path(path or name)
        with new_file(target / name if target.is_dir() else target) as file:
            for entry in self.context:
                line = {**entry, "model": self.engine.name}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        return Path(file.name)

    def _add(self, *lines: Message) -> None:
        self.context += [{"role": line.nick, "content": line.content} for line in lines]

    # Generating

    def respond(self, role: Role = "model", on_text: Callable[[str], None] | None = None) -> str:
        """Let `role` say something, add it to the context, and return it.

        Args:
            role: `model` to answer, `input` to write your side too.
            on_text: called with each piece of the text as it comes.

        Raises:
            ContextError: the newest turn alone is longer than the context.
            EngineError: the model failed.
        """
        said = self._respond(role, on_text)
        return said.message.content if said else ""

    def retry(self, role: Role = "model", on_text: Callable[[str], None] | None = None) -> str:
        """Take back the last message, which `role` must have said, and say another.

        Raises:
            CommandError: the last message is not of `role`.
        """
        if self.get_last().get("role") != self.nicks[role]:
            raise CommandError(f"Nothing to retry: {self.nicks[role]} did not speak last.")
        last = self.context.pop()
        said = None
        try:
            said = self._respond(role, on_text)
        finally:
            if said is None:
                self.context.append(last)
        return said.message.content if said else ""

    def _respond(self, role: Role, on_text: Callable[[str], None] | None) -> Said | None:
        said = None
        for event in self.speak(role):
            match event:
                case Piece(text) if on_text is not None:
                    on_text(text)
                case Said(message):
                    said = event
                    self._add(message)
        return said

    def cancel(self) -> None:
        """Stop the reply in flight, from any thread or signal handler; without one, nothing."""
        with self._turning:
            self._cancelled = True
            if self._generating:
                self.engine.cancel()

    def close(self) -> None:
        """Free the model."""
        self.engine.close()

    def speak(self, role: Role, opening: str = "") -> Iterator[Event]:
        """Generate a message of `role` that begins with `opening`; the last event is `Said`.

        The message is not added to the context, which changes only where a full one is trimmed.
        Without a single token (cancelled while reading the prompt) there is no `Said`.

        Raises:
            ContextError, EngineError: as `respond`.
        """
        self._cancelled = False
        yield from self._speak(self.nicks[role], opening)

    def _speak(self, nick: str, opening: str) -> Iterator[Event]:
        yield from self._trim(nick, opening)
        lines = [Message(entry["role"], entry["content"]) for entry in self.context]
        ids = self.encoder.prompt(lines, nick, opening)

        body = list(self.encoder.body(nick, opening))
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        content = opening
        if opening:  # a reply that was cut within a character goes on with that character
            start = decoder.decode(b"".join(map(self.engine.piece, body)))
            content = start.partition("\n")[2]
        begun = not getattr(self.engine, "lost", False)  # else `Moved` comes first
        if begun:
            yield Typing(nick, content)
        params = replace(self.params, seed=self._seeds.getrandbits(SEED_BITS))
        text = render(lines, nick, opening, self.engine.control.bos_text)
        count, seconds = 0, 0.0
        reason: FinishReason | None = None
        for step in self._generate(ids, params):
            if not begun and not isinstance(step, Moved):
                begun = True
                yield Typing(nick, content)
            match step:
                case Moved(news):
                    yield Notice(f"* {news}")
                case Prefilling(done, total):
                    yield Reading(done, total)
                case Prefilled(evaluated, reused):
                    yield Prompted(nick, text, evaluated, reused)
                case Token(token):
                    count += 1
                    body.append(token)
                    if piece := decoder.decode(self.engine.piece(token)):
                        content += piece
                        yield Piece(piece)
                case Finished(why, duration):
                    reason, seconds = why, duration
        if rest := decoder.decode(b"", final=True):
            content += rest
            yield Piece(rest)
        if count or reason == "stop":
            self.encoder.remember(nick, content, body)
            yield Said(Message(nick, content, count, cut=reason != "stop"), count, seconds, reason)

    def _generate(self, ids: list[int], params: SamplingParams) -> Iterator[Step]:
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
        """Tokens that stay free for a reply."""
        return min(self.params.max_tokens, self.engine.n_ctx // 4)

    def sizes(self, lines: Sequence[Message]) -> list[int]:
        """Tokens of each message."""
        return [len(self.encoder.message(line)) for line in lines]

    def check_room(self, added: Sequence[Message], *, fresh: bool, answered: bool) -> None:
        """Refuse lines that the context could not hold even with all old turns gone.

        Args:
            added: the lines of one turn, not yet in the context.
            fresh: they begin a scene.
            answered: the model replies next; otherwise room for a message is kept as well.

        Raises:
            ContextError: with the number of tokens.
        """
        before = [] if fresh else self.context
        lines = [*(Message(entry["role"], entry["content"]) for entry in before), *added]
        reserve = self.reserve if answered else 2 * self.reserve
        self._plan(lines, reserve + self._frame(self.nicks["model"]), target=0)

    def _plan(
        self, lines: Sequence[Message], reserve: int, target: int | None = None
    ) -> tuple[list[range], list[int], list[int]]:
        """The turns, their sizes in tokens, and which of them must go."""
        groups = turns(lines, self.nicks)
        each = self.sizes(lines)
        sizes = [sum(each[index] for index in group) for group in groups]
        n_ctx = self.engine.n_ctx
        target = int(n_ctx * TRIM_TARGET) if target is None else target
        return groups, sizes, fit(sizes, head(lines, groups, self.nicks), n_ctx - reserve, target)

    def _frame(self, nick: str, opening: str = "") -> int:
        """Tokens of a prompt that belong to no turn: BOS, and what asks for a message."""
        bos = 0 if self.engine.control.bos is None else 1
        return bos + len(self.encoder.opening(nick, opening))

    def _trim(self, nick: str, opening: str) -> Iterator[Trimmed]:
        lines = [Message(entry["role"], entry["content"]) for entry in self.context]
        reserve = self.reserve + self._frame(nick, opening)
        groups, sizes, dropped = self._plan(lines, reserve)
        if not dropped:
            return
        before = 0 if self.engine.control.bos is None else 1
        ids = self.encoder.prompt(lines, nick, opening)
        for start, stop in spans(sizes, dropped, before):
            if not self.exact_trim:
                self.engine.forget(ids, start, stop)
            del ids[start:stop]
        gone = tuple(index for turn in dropped for index in groups[turn])
        self.context[:] = [e for i, e in enumerate(self.context) if i not in set(gone)]
        yield Trimmed(gone, sum(sizes[turn] for turn in dropped))


def suggest_relay_model(min_speed: float | None = None) -> dict[str, Any]:
    """Keyword arguments for `RelayLM`: the best of Relay's published files for this machine.

    `RelayLM` downloads it unless it is here, and puts as much of it on a GPU as fits.

    Where none is fast enough it is the fastest, with a `RuntimeWarning` that says how slow.

    Args:
        min_speed: tokens a second that it must reach, as estimated; None is 5.

    Raises:
        MemoryShortError: none fits.
    """
    from .fit.choose import MIN_SPEED
    from .models.lines import slow_line
    from .models.suggest import suggest

    found = suggest(min_speed=MIN_SPEED if min_speed is None else min_speed)
    if found.is_slow:
        line = slow_line(found.taken, found.min_speed)
        warnings.warn(line, RuntimeWarning, stacklevel=2)
    return {"model_name_or_path": found.taken.file.name}
