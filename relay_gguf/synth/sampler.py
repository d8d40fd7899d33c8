"""The scenes of a run, sampled many at once, each when it is finished."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from relay_gguf.engine import Finished
from relay_gguf.errors import SettingsError
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.llama.thread import next_of
from relay_gguf.sampling import SamplingParams

from .line_start import LineStart
from .prompts.scene_prompt import ScenePrompt, ScenePrompts
from .raw.raw_scene import RawScene
from .stop_rules import SceneLimits, SceneText

if TYPE_CHECKING:
    from relay_gguf.llama.batch.batch_engine import BatchEngine
    from relay_gguf.llama.batch.inbox import Asked

TICK: Final = 1.0
"""Seconds after which progress is told, if no scene is finished meanwhile."""
AHEAD: Final = 2
"""Scenes that wait for a slot, so that none is empty between two scenes."""


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """How scenes are sampled; each has its own seed and at most the tokens of `limits`."""

    params: SamplingParams
    limits: SceneLimits


class SceneSampler:
    """Samples scenes on an engine, with a thread for each that is in progress."""

    def __init__(
        self, engine: BatchEngine, prompts: ScenePrompts, settings: SceneSettings, run: str
    ) -> None:
        """Take an engine that was loaded with `any_chat`, and nobody else uses.

        Args:
            engine: the model.
            prompts: of the run.
            settings: of the run.
            run: its identity.
        """
        self._engine, self._prompts, self._settings, self._run = engine, prompts, settings, run
        control = engine.control
        ends = {*engine.ends(), *(t for t in (control.im_start, control.im_end) if t >= 0)}
        self._starts = LineStart(engine.pieces(), ends)
        bos = engine.added_bos
        self._bos = [] if bos is None else [bos]
        self._lock = threading.Lock()
        self._live: dict[Asked, SceneText] = {}
        self._n_done = 0  # tokens of scenes that have ended
        self._stopped = False

    @property
    def n_tokens(self) -> int:
        """Tokens that were sampled so far, those of scenes in progress included."""
        with self._lock:
            return self._n_done + sum(text.n_tokens for text in self._live.values())

    def scenes(
        self, numbers: Iterable[int], on_tick: Callable[[], object] = lambda: None
    ) -> Generator[RawScene, None, None]:
        """The scenes of some numbers, each when it is finished; one call after the other.

        Closing the iterator, or Ctrl-C in it, ends what is in progress.

        Args:
            numbers: of the scenes.
            on_tick: is called about once a second while no scene is finished.

        Raises:
            SettingsError: a prompt leaves no room in the model's context.
            EngineError: llama.cpp failed.
        """
        todo = iter(numbers)
        self._stopped = False
        told: queue.SimpleQueue[RawScene | BaseException | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                while True:
                    with self._lock:
                        number = None if self._stopped else next(todo, None)
                    scene = None if number is None else self._scene(number)
                    if scene is None:
                        return
                    told.put(scene)
            except BaseException as error:
                told.put(error)
            finally:
                told.put(None)

        threads = [
            threading.Thread(target=work, name=f"relay-scene-{n}", daemon=True)
            for n in range(self._engine.n_slots + AHEAD)
        ]
        for thread in threads:
            thread.start()
        try:
            n_running = len(threads)
            while n_running:
                try:
                    item = next_of(told, TICK)
                except queue.Empty:
                    on_tick()
                    continue
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    n_running -= 1
                else:
                    yield item
        finally:
            self._stop()
            for thread in threads:
                thread.join()

    def _stop(self) -> None:
        """End all scenes in progress, and begin no other."""
        with self._lock:
            self._stopped = True
            live = list(self._live)
        for asked in live:
            asked.cancel()

    def _scene(self, number: int) -> RawScene | None:
        """A scene, sampled to its end; None if it was ended before."""
        prompt = self._prompts.prompt(number)
        text = SceneText(
            self._engine.piece,
            self._starts,
            self._settings.limits,
            starter=prompt.starter,
            opens=prompt.opens,
        )
        asked = self._ask(prompt, text)
        if asked is None:
            return None
        try:
            reason = [step.reason for step in asked.steps() if isinstance(step, Finished)][-1]
        finally:
            with self._lock:
                del self._live[asked]
                self._n_done += text.n_tokens
        if reason == "cancelled":
            return None
        text.finish(reason)
        assert text.end is not None
        return RawScene(
            self._run,
            number,
            prompt.seed,
            self._prompts.style,
            prompt.premise,
            prompt.starter,
            text.text,
            text.end,
            text.n_tokens,
            text.logprob,
        )

    def _ask(self, prompt: ScenePrompt, text: SceneText) -> Asked | None:
        ids = (*self._bos, *self._engine.tokenize(prompt.text))
        if len(ids) >= self._engine.n_ctx // 2:
            raise SettingsError(
                f"The prompt of scene {prompt.number} has {len(ids)} tokens, of "
                f"{self._engine.n_ctx} that the model reads with its scene. Take fewer "
                "--n-examples, shorter --examples or a larger --n-ctx."
            )
        params = replace(
            self._settings.params,
            seed=prompt.seed,
            max_tokens=self._settings.limits.max_tokens,
        )
        with self._lock:
            if self._stopped:
                return None
            wish = Continuation(ids, params, until=text.until, look=text.look, scored=text.scored)
            asked = self._engine.ask(wish)
            self._live[asked] = text
            return asked
