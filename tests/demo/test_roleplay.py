"""The demo model stays in role, plain SmolLM2 does not: a third of the scenes, played greedily.

`python tests/benchmarks/scenes.py` plays all of them, with several seeds.
"""

from __future__ import annotations

import pytest
from roleplay import Played, play, read_scenes

from relay_gguf import LlamaEngine
from relay_gguf.models.demo import Demo

SOME = read_scenes()[::3]


def score(engine: LlamaEngine) -> list[Played]:
    return list(play(engine, SOME, [1], temperature=0, max_tokens=32))


@pytest.mark.thorough
def test_the_demo_model_is_more_in_role(smollm2_engine: LlamaEngine, made_demo: Demo) -> None:
    with LlamaEngine(made_demo.path) as engine:
        ours = score(engine)
    plain = score(smollm2_engine)
    good, good_plain = (sum(one.is_good for one in played) for played in (ours, plain))
    told = [(one.scene.lines, one.reply) for one in ours]
    assert good >= 5, told  # 7 of 10 as measured; other builds of ggml round otherwise
    assert good >= good_plain + 3, told


@pytest.mark.parametrize(
    ("reply", "good"),
    [
        ("Lisbon, you?", True),
        ("i'm from lisbon :)", True),
        ("lisbonne", False),
        ("i'd love to assist you with a trip to Lisbon", False),
        ("Lisbon " + "and more " * 20, False),
        ("", False),
    ],
)
def test_what_a_good_reply_is(reply: str, good: bool) -> None:
    (scene,) = (scene for scene in read_scenes() if scene.lines[0] == "/join #lisbon")
    assert scene.is_good(reply) is good
