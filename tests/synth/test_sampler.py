"""Scenes of a real engine: a random model of two layers, which writes no scene that is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from relay_gguf import SamplingParams
from relay_gguf.errors import SettingsError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.llama.batch import slots
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.synth.pace import Pace
from relay_gguf.synth.prompts.premise import PremiseWords
from relay_gguf.synth.prompts.scene_prompt import ScenePrompts
from relay_gguf.synth.raw.raw_scene import RawScene
from relay_gguf.synth.room import load_options
from relay_gguf.synth.sampler import SceneSampler, SceneSettings
from relay_gguf.synth.stop_rules import NATURAL, SceneLimits

if TYPE_CHECKING:
    from relay_gguf.sampling import Logits

PROMPTS = ScenePrompts(
    PremiseWords({"boats": ("knots",)}, (), ("a sailor",)), (), ("ahoy",), "relay", 0, 32, 7
)
SETTINGS = SceneSettings(
    SamplingParams(0.9, 40, 1.0, 0.05, 1.0), SceneLimits(max_lines=6, max_tokens=32)
)


@pytest.fixture(scope="module")
def engine(base: Path) -> Iterator[BatchEngine]:
    options = LoadOptions(n_ctx=256, n_slots=4, n_cells=1024)
    with BatchEngine(base, options, n_threads=1, any_chat=True) as engine:
        yield engine


@pytest.fixture(scope="module")
def sampler(engine: BatchEngine) -> SceneSampler:
    return SceneSampler(engine, PROMPTS, SETTINGS, "run")


def test_a_random_model_gives_every_scene_and_none_twice(sampler: SceneSampler) -> None:
    """Its vocabulary has no ChatML, for which a chat refuses it."""
    before = sampler.n_tokens
    found = list(sampler.scenes(range(20, 26)))
    assert sampler.n_tokens - before == sum(scene.tokens for scene in found)
    assert sorted(scene.number for scene in found) == [*range(20, 26)]
    for scene in found:
        assert 0 < scene.tokens <= 32
        assert scene.logprob < 0
        assert scene.text == "" or scene.text.splitlines()[-1].startswith(("<user>", "* user"))
        assert scene.seed == PROMPTS.prompt(scene.number).seed


@pytest.mark.thorough  # as two processes, too
def test_two_parts_have_the_numbers_of_one_run(sampler: SceneSampler) -> None:
    parts = [*sampler.scenes(range(2)), *sampler.scenes(range(2, 4))]
    whole = list(sampler.scenes(range(4)))
    assert {scene.number for scene in parts} == {scene.number for scene in whole}
    assert len(parts) == len(whole)


def test_a_closed_run_ends_what_is_in_progress(engine: BatchEngine, sampler: SceneSampler) -> None:
    with closing(sampler.scenes(range(1000))) as scenes:
        first = next(scenes)
    assert first.number < 20
    assert not engine._inbox.live()


def test_a_prompt_that_leaves_no_room_is_refused(engine: BatchEngine) -> None:
    prompts = replace(PROMPTS, starters=("word " * 200,))
    with pytest.raises(SettingsError, match=r"The prompt of scene 0 has \d+ tokens, of 256"):
        list(SceneSampler(engine, prompts, SETTINGS, "run").scenes(range(1)))


def test_a_prompt_begins_with_the_bos_of_the_file(
    engine: BatchEngine, sampler: SceneSampler
) -> None:
    assert engine.added_bos == 0
    asked: list[tuple[int, ...]] = []
    ask = engine.ask
    engine.ask = lambda wish: asked.append(wish.prompt) or ask(wish)  # type: ignore[method-assign,func-returns-value]
    try:
        list(sampler.scenes(range(1)))
    finally:
        engine.ask = ask  # type: ignore[method-assign]
    (prompt,) = asked
    text = b"".join(map(engine.piece, prompt[1:])).decode()
    assert (prompt[0], text) == (0, PROMPTS.prompt(0).text)


@pytest.mark.parametrize("n_at_once", [1, 4])  # rows are sampled alone, or together
def test_who_looks_bars_tokens_and_is_told_the_models_own_likelihood(
    engine: BatchEngine, n_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = engine.pieces()
    assert vocabulary[:600] == [engine.piece(token) for token in range(600)]

    def no_even_id(logits: Logits) -> None:
        logits[::2] = -np.inf

    told: list[float] = []
    rows: list[list[float]] = []
    choose = slots.next_tokens

    def watched(logits, choosers):  # type: ignore[no-untyped-def]
        given = logits.astype(np.float64).copy()
        tokens = choose(logits, choosers)
        totals = np.log(np.exp(given - given.max(1, keepdims=True)).sum(1)) + given.max(1)
        rows.append([given[n, token] - totals[n] for n, token in enumerate(tokens)])
        assert all(token % 2 for token in tokens)
        return tokens

    params = SamplingParams(0.9, 0, 1.0, 0.05, 1.3, max_tokens=5, seed=3)
    monkeypatch.setattr(slots, "next_tokens", watched)
    wish = Continuation((5, 6, 7), params, look=no_even_id, scored=told.append)
    asked = [engine.ask(wish) for _ in range(n_at_once)]
    for each in asked:
        list(each.steps())
    assert len(told) == 5 * n_at_once
    assert np.allclose(sorted(told), sorted(logprob for row in rows for logprob in row), atol=1e-4)


def test_as_many_scenes_at_once_as_fit(base: Path) -> None:
    limits, model = SceneLimits(), read_gguf(base)
    found = load_options(model, LoadOptions(no_gpu=True), PROMPTS, limits, None)
    assert (found.n_slots, found.n_ctx) == (8, 1536)
    assert found.n_cells == 6144
    assert load_options(model, LoadOptions(no_gpu=True), PROMPTS, limits, 1).n_cells is None
    with pytest.raises(SettingsError, match="give each machine a --range"):
        load_options(model, LoadOptions(workers=("127.0.0.1",)), PROMPTS, limits, None)


def test_the_pace_is_told_in_scenes_and_tokens() -> None:
    now = [100.0]
    pace = Pace(10, clock=lambda: now[0])
    assert pace.line == "0 of 10 scenes, 0 tokens, 0 tokens/s"
    now[0] += 10
    pace.tick(40)
    assert pace.line == "0 of 10 scenes, 40 tokens, 4 tokens/s"
    now[0] -= 10
    for n, end in enumerate(("empty line", "loop"), 1):
        now[0] += 36
        pace.tick(180 * n)
        pace.add(RawScene("r", 0, 0, "relay", PROMPTS.prompt(0).premise, "", "", end, 180, -1.0))
    assert end not in NATURAL
    assert pace.line == (
        "2 of 10 scenes, 100 an hour, 5 tokens/s, 0:04:48 left, 50% ended by themselves"
    )
