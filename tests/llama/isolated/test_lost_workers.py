"""Workers that fail, in a reply or while loading: what is told, and the chat goes on."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from lent import Lent, Wire, lend
from replies import GREEDY, prompt, said

from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Failed, Notice, Piece, Said, Typing
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session
from relay_gguf.engine import Moved, Token
from relay_gguf.errors import EngineError, ModelError, WorkerError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.isolated import engine as isolated
from relay_gguf.llama.isolated.engine import IsolatedEngine
from relay_gguf.sampling import SamplingParams


@pytest.mark.thorough
def test_a_worker_that_is_lost_in_mid_reply(deep: Path, reference: list[int]) -> None:
    """The error names it, what was said stays, and the next reply does without it."""
    with lend() as lost, lend() as left:
        workers = (lost.address, left.address)
        with IsolatedEngine(deep, LoadOptions(workers=workers)) as engine:
            n_ctx, got = engine.n_ctx, []

            def talk() -> None:
                for step in engine.generate(prompt(engine), GREEDY):
                    if isinstance(step, Token):
                        got.append(step.id)
                        if len(got) == 3:
                            lost.kill()

            with pytest.raises(EngineError) as error:
                talk()
            assert f"Worker {lost.address} is not there" in str(error.value)
            assert left.address not in str(error.value)
            assert str(error.value).endswith("The next message loads the model without it.")
            assert got == reference[: len(got)]
            assert engine.tokenize("as before")
            steps = list(engine.generate(prompt(engine), GREEDY))
            assert [step.text for step in steps if isinstance(step, Moved)] == [
                "The model is loaded again, which may take a while.",
                f"The model is loaded without {lost.address}: all 31 layers on RPC0.",
            ]
            assert [step.id for step in steps if isinstance(step, Token)] == reference
            assert engine.n_ctx == n_ctx


@pytest.mark.thorough
def test_a_chat_goes_on_without_its_only_worker(pico: Path, tmp_path: Path) -> None:
    with lend() as worker, ExitStack() as closed:
        engine = closed.enter_context(IsolatedEngine(pico, LoadOptions(workers=(worker.address,))))
        generator = Generator(engine, SamplingParams(max_tokens=500, seed=3))
        session = Session(Dialogue(generator, tmp_path / "sessions", path=str(pico)))
        closed.callback(session.close)
        list(session.start())
        events, pieces = [], 0
        for event in session.submit("hello there"):
            events.append(event)
            if isinstance(event, Piece):
                pieces += 1
                if pieces == 3:
                    worker.kill()
        (failed,) = [event for event in events if isinstance(event, Failed)]
        assert worker.address in failed.text
        assert any(m.content == "hello there" for m in session.transcript.context)
        generator.params = SamplingParams(max_tokens=3, seed=3)
        events = list(session.submit("/retry"))
        notices = [event.text for event in events if isinstance(event, Notice)]
        assert f"* The model is loaded without {worker.address}: all in RAM." in notices
        told = [n for n, event in enumerate(events) if "is loaded" in getattr(event, "text", "")]
        kinds = [type(event) for event in events]
        assert max(told) < kinds.index(Typing) < kinds.index(Piece)
        assert any(isinstance(event, Said) for event in events)


@pytest.mark.thorough
def test_what_is_left_does_not_suffice(pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message tries again, which can be stopped."""
    monkeypatch.setattr(isolated, "DEAF", isolated.LOOK)  # no process starts so soon
    with lend() as worker:
        engine = IsolatedEngine(pico, LoadOptions(workers=(worker.address,)), n_threads=1)
        reply = said(engine)
        worker.kill()
    with engine:
        with pytest.raises(EngineError, match=worker.address):
            said(engine)
        opens = engine._opens
        engine._opens = replace(opens, path=pico.with_name("gone.gguf"))
        with pytest.raises(
            EngineError, match=rf"{worker.address} .* The model does not fit without: "
        ):
            said(engine)
        engine._opens = opens
        engine.cancel()
        with pytest.raises(EngineError, match="Loading the model was stopped"):
            said(engine)
        assert said(engine) == reply


@pytest.mark.thorough
def test_a_worker_that_is_lost_while_loading(two: tuple[Lent, Lent], deep: Path) -> None:
    with Wire(two[0].address) as wire:
        options = LoadOptions(workers=(wire.address,))
        with pytest.raises(WorkerError) as error:
            IsolatedEngine(deep, options, on_progress=lambda share: share > 0.3 and wire.cut())
    assert f"Worker {wire.address}" in str(error.value)


@pytest.mark.thorough
def test_errors_of_the_child_come_over(two: tuple[Lent, Lent], tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        IsolatedEngine(path, LoadOptions(workers=(two[0].address,)))
