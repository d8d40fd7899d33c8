"""Conversations on real llama.cpp: each turn costs what is new, each prompt is what it must be."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generated import GREEDY, cache, kv_cache_of
from pico import write_pico

from relay_gguf import LlamaEngine, Message, SamplingParams
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Failed, Prompted
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.prompt import Encoder
from relay_gguf.conversation.session import Session
from relay_gguf.fit.plan import LoadOptions

LINES = ("hello", "what's your favourite food?", "/slap", "/dance wildly", "why?")


def converse(session: Session, *lines: str) -> list[tuple[int, int]]:
    """Evaluated and reused tokens of each prompt; the cache holds each prompt exactly."""
    read = []
    generator = session.dialogue.generator
    engine = generator.engine
    assert isinstance(engine, LlamaEngine)
    for line in lines:
        for event in session.submit(line):
            if isinstance(event, Prompted):
                read.append((event.evaluated, event.reused))
                context = session.transcript.context
                if line == "/retry":  # the reply before is not part of the prompt
                    context = context[:-1]
                prompt = generator.encoder.prompt(context, event.nick)
                assert sum(read[-1]) == len(prompt)
                assert cache(engine)[: len(prompt)] == prompt
    return read


def chat_on(engine: LlamaEngine, folder: Path | None, temperature: float = 0.3) -> Session:
    params = SamplingParams(temperature=temperature, seed=1, max_tokens=24)
    session = Session(Dialogue(Generator(engine, params), folder))
    list(session.start())
    return session


def test_a_turn_costs_what_is_new(pico_engine: LlamaEngine, tmp_path: Path) -> None:
    with closing(chat_on(pico_engine, tmp_path)) as session:
        first, *others = converse(session, *LINES)
        assert first[1] == 0
        assert all(evaluated < 45 for evaluated, _ in others)

        assert converse(session, "/retry")[0][0] == 1
        assert converse(session, "/retry", "/prev", "and now?")[0][0] == 1
        assert converse(session, "/undo", "and now what?")[0][0] < 12
        assert converse(session, "/edit and then?")[0][0] < 12
        assert converse(session, "/join #elsewhere", "hi")[0][0] > 20


def test_a_loaded_session_has_the_ids_it_was_saved_with(
    pico_engine: LlamaEngine, tmp_path: Path
) -> None:
    with closing(chat_on(pico_engine, tmp_path)) as session:
        converse(session, *LINES, "/save here")
        prompt = session.dialogue.generator.encoder.prompt(session.transcript.context, "user")

    with closing(chat_on(pico_engine, tmp_path)) as session:
        list(session.submit("/load here"))
        context = session.transcript.context
        assert session.dialogue.generator.encoder.prompt(context, "user") == prompt
        assert converse(session, "/retry")[0][0] < 30
    # Random models write no tidy text: tokenized anew, its ids would be others.
    assert Encoder(pico_engine).prompt(context, "user") != prompt


@pytest.mark.thorough
def test_twenty_thousand_tokens_in_a_context_of_4096(pico_engine: LlamaEngine) -> None:
    session = chat_on(pico_engine, None)
    generator = session.dialogue.generator
    generator.params = replace(generator.params, max_tokens=8)
    said = " ".join(f"word{number}" for number in range(150))
    list(session.submit("/topic the sea"))
    list(session.submit("/cast I am a sailor"))
    total, trims, cold = 0, 0, 0
    while total < 20_000:
        held = len(session.transcript.context)
        (read,) = converse(session, said)
        trims += len(session.transcript.context) < held
        cold += read[1] == 0
        total += read[0] + 8
        new = len(generator.encoder.message(Message("anon", said))) + 8
        assert total == read[0] + 8 or read[0] <= new
    assert trims >= 8
    assert cold == 1
    kept = [message.content for message in session.transcript.context[:7]]
    assert kept == [
        "/join #random",
        "* Now talking in #random",
        "* anon has joined #random",
        "/topic the sea",
        "* Topic for #random is: the sea",
        "/whois user",
        "* user's bio: I am a sailor",
    ]


@pytest.mark.thorough
def test_exact_trim_reads_the_rest_anew(pico: Path) -> None:
    with LlamaEngine(pico, LoadOptions(n_ctx=512), n_threads=1) as engine:
        session = chat_on(engine, None)
        session.dialogue.generator.exact_trim = True
        reads = converse(session, *["some words that fill the context"] * 20)
    assert [read for read in reads[1:] if read[0] > 100], "the head alone is reused after a trim"


@pytest.mark.thorough
def test_greedy_retry_repeats_word_for_word(smollm2_engine: LlamaEngine) -> None:
    session = chat_on(smollm2_engine, None, temperature=0.0)
    for line in ("hello, who are you?", "/slap", "tell me about Lisbon"):
        list(session.submit(line))
        first = session.transcript.last
        list(session.submit("/retry"))
        second = session.transcript.last
        assert first
        assert second
        assert first.answer == second.answer


@pytest.mark.thorough
def test_f16_logits_after_reuse_agree_with_a_cold_evaluation(smollm2_f16: Path) -> None:
    """Within 0.25 where logits spread over some 30: batches of another shape round otherwise.

    Measured at most 0.11 on AVX-512; on the Q4_1 file the same comparison moves by up to 0.9.
    """
    with LlamaEngine(smollm2_f16) as engine:
        session = chat_on(engine, None)
        worst = 0.0
        for line in ("hello", "/retry", "where are you?", "/undo", "who are you?", "/edit why?"):
            list(session.submit(line))
            context = session.transcript.context
            prompt = session.dialogue.generator.encoder.prompt(context, "user")
            one = replace(GREEDY, max_tokens=1)
            list(engine.generate(prompt, one))
            warm = engine.logits()
            kv_cache_of(engine).past.clear()
            list(engine.generate(prompt, one))
            worst = max(worst, float(np.abs(warm - engine.logits()).max()))
    assert worst < 0.25


def test_a_model_of_nan_is_an_event_and_the_chat_goes_on(smollm2: Path, tmp_path: Path) -> None:
    path = write_pico(tmp_path / "nan.gguf", smollm2, spoil=float("nan"))
    with LlamaEngine(path) as engine:
        session = chat_on(engine, None)
        for _ in range(2):
            assert "damaged" in str(list(session.submit("hello"))[-1])


def test_ids_of_a_changed_session_file_are_not_believed(
    pico_engine: LlamaEngine, tmp_path: Path
) -> None:
    with closing(chat_on(pico_engine, tmp_path)) as session:
        list(session.submit("hello"))
        list(session.submit("/save x"))
    path = tmp_path / "x.jsonl"
    *lines, last = path.read_text("utf-8").splitlines()
    reply = json.loads(last)
    for ids in ([10**6, 2], [1, 2, 3]):
        changed = json.dumps({**reply, "ids": ids, "cut": True})
        path.write_text("\n".join([*lines, changed, ""]), "utf-8")
        with closing(chat_on(pico_engine, tmp_path)) as session:
            list(session.submit("/load x"))
            assert not [e for e in session.submit("/continue") if isinstance(e, Failed)]
