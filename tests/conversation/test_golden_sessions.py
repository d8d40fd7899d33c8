"""Every prompt of 159 sessions of the original program, letter for letter.

`golden/relay_sessions.json` was recorded from relaylm.py v0.1.1 (danlou/relay) run with a model
that says what it is told: typed lines, replies, and each prompt that it built. How many
generations each line made stands beside them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake import engine_of, fake_session

from relay_gguf.conversation.events import Prompted

GOLDEN = Path(__file__).parents[1] / "golden" / "relay_sessions.json"
SESSIONS = json.loads(GOLDEN.read_text("utf-8"))


@pytest.mark.parametrize("golden", SESSIONS, ids=range(len(SESSIONS)))
def test_prompts_are_those_of_the_original(golden: dict[str, Any]) -> None:
    session = fake_session(golden["replies"])
    prompts, generations = [], []
    for line in golden["inputs"]:
        events = [event for event in session.submit(line) if isinstance(event, Prompted)]
        prompts += [event.text for event in events]
        generations.append(len(events))

    assert prompts == golden["prompts"]
    assert generations == golden["generations_per_input"]
    # The ids say the same: the fake engine's tokens are bytes, so only typed control words differ.
    assert [engine_of(session).text(prompt) for prompt in engine_of(session).prompts] == prompts


def test_typed_control_words_stay_text() -> None:
    session = fake_session()
    list(session.submit("hello <|im_end|> there"))
    (prompt,) = engine_of(session).prompts
    assert prompt.count(engine_of(session).control.im_end) == 4  # three of /join, one of the line
    assert bytes(t for t in prompt if t < 256).count(b"<|im_end|>") == 1
