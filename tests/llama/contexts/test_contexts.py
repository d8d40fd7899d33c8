"""Contexts on the disk: what is kept, what is believed, and when it pays."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from relay_gguf import LlamaEngine, SamplingParams
from relay_gguf.engine import Prefilled, Token
from relay_gguf.fit.placement import LoadSettings
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.llama.contexts.context_file import read_context, read_head, write_context
from relay_gguf.llama.contexts.context_folder import (
    PATIENCE,
    ContextFolder,
    context_files,
    remove_contexts,
)
from relay_gguf.llama.contexts.identity import context_identity
from relay_gguf.llama.contexts.snapshots import Snapshot
from relay_gguf.llama.prefill import PrefillPace
from relay_gguf.llama.thread import IdleJob, JobThread

IDENTITY = bytes(range(32))
OTHER = bytes(32)
GREEDY = SamplingParams(temperature=0, max_tokens=6, repeat_penalty=1)


def snapshot(ids: Sequence[int], n_bytes: int = 5000, seed: int = 1) -> Snapshot:
    return Snapshot(
        tuple(ids), (ctypes.c_uint8 * n_bytes)(*Random(seed).randbytes(n_bytes)), n_bytes
    )


def always(*_: object) -> bool:
    return True


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "a.context"
    assert write_context(path, IDENTITY, snapshot(range(300)), always)
    return path


# A file


def test_what_is_written_is_read(kept: Path) -> None:
    found, written = read_context(kept, IDENTITY), snapshot(range(300))
    assert found is not None
    assert (found.ids, bytes(found.state), found.n_bytes) == (
        written.ids,
        bytes(written.state),
        written.n_bytes,
    )
    if os.name == "posix":
        assert kept.stat().st_mode & 0o777 == 0o600


def test_another_models_file_is_not_read(kept: Path) -> None:
    assert read_context(kept, OTHER) is None


def test_no_damage_is_believed(kept: Path) -> None:
    """A flipped bit, a cut or a tail, at 100 places each."""
    whole, random = kept.read_bytes(), Random(5)
    for _ in range(100):
        at = random.randrange(len(whole))
        flipped = bytearray(whole)
        flipped[at] ^= 1 << random.randrange(8)
        for damaged in (bytes(flipped), whole[:at], whole + whole[-1 - at :]):
            kept.write_bytes(damaged)
            assert read_context(kept, IDENTITY) is None
    kept.write_bytes(b"")
    assert read_head(kept) is None


def test_a_header_that_promises_much_takes_no_memory(kept: Path) -> None:
    data = bytearray(kept.read_bytes())
    data[20 + 32 + 4 : 20 + 32 + 12] = (1 << 62).to_bytes(8, "little")
    kept.write_bytes(data)
    assert read_head(kept) is None


def test_a_write_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    assert not write_context(tmp_path / "a.context", IDENTITY, snapshot([1]), lambda _: False)
    assert list(tmp_path.iterdir()) == []


# A folder


def test_the_longest_common_prefix_is_found(tmp_path: Path) -> None:
    folder = ContextFolder(tmp_path, IDENTITY)
    for ids in ((1, 2, 3, 9), (1, 2, 3, 4, 8), (7, 7, 7)):
        assert folder.keep(snapshot(ids), 60.0, always)
    ContextFolder(tmp_path, OTHER).keep(snapshot((1, 2, 3, 4, 5, 6)), 60.0, always)
    prompt = (1, 2, 3, 4, 5, 6)
    found = folder.find(prompt, over=2, most=100)
    assert found is not None
    assert found.ids == (1, 2, 3, 4, 8)
    assert folder.find(prompt, over=4, most=100) is None, "no better than what is there"
    shorter = folder.find(prompt, over=2, most=4)
    assert shorter is not None
    assert shorter.ids == (1, 2, 3, 9), "the other has more tokens than the cache"


def test_a_damaged_file_is_removed(tmp_path: Path) -> None:
    folder = ContextFolder(tmp_path, IDENTITY)
    folder.keep(snapshot((1, 2, 3)), 60.0, always)
    (path,) = context_files(tmp_path)
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    assert folder.find((1, 2, 3), over=0, most=10) is None
    assert context_files(tmp_path) == []


def test_a_conversation_that_goes_on_has_one_file(tmp_path: Path) -> None:
    folder = ContextFolder(tmp_path, IDENTITY)
    for n_ids in (3, 5, 9):
        folder.keep(snapshot(range(n_ids)), 60.0, always)
    (path,) = context_files(tmp_path)
    head = read_head(path)
    assert head is not None
    assert head.ids == tuple(range(9))


def test_the_oldest_go_first(tmp_path: Path) -> None:
    folder = ContextFolder(tmp_path, IDENTITY, room=14_000)
    for number in (1, 2, 3):
        before = set(context_files(tmp_path))
        folder.keep(snapshot([number] * 5, 4000), 60.0, always)
        (new,) = set(context_files(tmp_path)) - before
        os.utime(new, (number, number))
    assert folder.find([1] * 5, over=0, most=10) is not None, "which makes it the newest"
    folder.keep(snapshot([4] * 5, 4000), 60.0, always)
    assert [bool(folder.find([n] * 5, over=0, most=10)) for n in (1, 2, 3, 4)] == [
        *(True, False, True, True)
    ]


@pytest.mark.parametrize(
    ("seconds_a_chunk", "reading", "is_kept"),
    [(0.1, 60.0, True), (2.0, 3.0, False), (9.0, 1000.0, False)],
    ids=["pays", "reading is quicker", "nobody waits so long"],
)
def test_a_file_must_pay(
    seconds_a_chunk: float, reading: float, *, is_kept: bool, tmp_path: Path
) -> None:
    """40 MB on a disk that needs so many seconds for 4 MiB."""

    def ticks() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += seconds_a_chunk

    clock = ticks()
    folder = ContextFolder(tmp_path, IDENTITY, clock=lambda: next(clock))
    big = Snapshot((1, 2, 3), ctypes.create_string_buffer(40_000_000), 40_000_000)
    assert folder.keep(big, reading, always) is is_kept
    assert len(context_files(tmp_path)) == is_kept
    assert not folder.worth(0.4)
    assert folder.worth(PATIENCE)


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = ContextFolder(tmp_path / "file" / "contexts", IDENTITY)
    assert folder.keep(snapshot([1]), 60.0, always) is False
    assert folder.find([1], over=0, most=10) is None
    remove_contexts(folder.folder)


def test_a_kill_in_the_middle_of_writing_leaves_no_context(tmp_path: Path) -> None:
    code = f"""
import ctypes, os, signal
from pathlib import Path
from relay_gguf.llama.contexts.context_folder import ContextFolder
from relay_gguf.llama.contexts.snapshots import Snapshot
state = ctypes.create_string_buffer(20_000_000)
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
folder = ContextFolder(Path({str(tmp_path)!r}), bytes(32))
folder.keep(Snapshot((1, 2), state, 20_000_000), 60.0, kill)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == -signal.SIGKILL, run.stderr
    (left,) = tmp_path.iterdir()
    folder = ContextFolder(tmp_path, bytes(32))
    assert folder.find((1, 2, 3), over=0, most=10) is None
    os.utime(left, (1, 1))
    folder.keep(snapshot((1,)), 60.0, always)
    assert not left.exists(), "after an hour nobody writes it any more"


def test_the_identity_is_of_file_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    os.utime(path, (1, 1))
    settings = LoadSettings(0, 512)
    seen = {context_identity(path, settings)}
    seen.add(context_identity(path, replace(settings, kv_type="q8_0")))
    seen.add(context_identity(path, replace(settings, n_gpu_layers=3)))
    os.utime(path, (2, 2))
    seen.add(context_identity(path, settings))
    path.write_bytes(b"GGUF" + bytes(99) + b"1")
    os.utime(path, (1, 1))
    seen.add(context_identity(path, settings))
    assert len(seen) == 5
    renamed = path.rename(tmp_path / "other.gguf")
    assert context_identity(renamed, settings) in seen, "a name is not a model"


# The engine


def said(engine: LlamaEngine, prompt: Sequence[int]) -> tuple[int, list[int]]:
    """Tokens of a prompt that were evaluated, and the reply."""
    steps = list(engine.generate(prompt, GREEDY))
    (read,) = (step.evaluated for step in steps if isinstance(step, Prefilled))
    return read, [step.id for step in steps if isinstance(step, Token)]


@pytest.fixture
def slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model seems to read a token a second, so that each context is worth a file."""
    end = PrefillPace.end

    def slow(self: PrefillPace) -> float:
        end(self)
        return 1.0

    monkeypatch.setattr(PrefillPace, "end", slow)


@pytest.mark.usefixtures("slow_reader")
def test_a_session_goes_on_where_it_was(pico: Path, tmp_path: Path) -> None:
    """With the reply of an engine that was never closed."""
    options, prompt = LoadOptions(n_ctx=1024), [*range(100, 400)]
    folder = tmp_path / "contexts"
    with LlamaEngine(pico, options, n_threads=1, contexts=folder) as engine:
        read, first = said(engine, prompt)
        assert read == 300
        longer = [*prompt, *first, 5, 6, 7]
        expected = said(engine, longer)[1]
    with LlamaEngine(pico, options, n_threads=1, contexts=folder) as engine:
        read, reply = said(engine, longer)
    assert (read, reply) == (1, expected)
    other = shutil.copy(pico, tmp_path / "pico.gguf")
    with LlamaEngine(other, options, n_threads=1, contexts=folder) as engine:
        assert said(engine, longer)[0] == len(longer), "another file reads all"
    for path in context_files(folder):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with LlamaEngine(pico, options, n_threads=1, contexts=folder) as engine:
        assert said(engine, longer)[0] == len(longer), "so does a damaged file"


@pytest.mark.usefixtures("slow_reader")
def test_conversations_that_wait_in_ram_are_kept_too(pico: Path, tmp_path: Path) -> None:
    options = LoadOptions(n_ctx=1024)
    prompts = [[n, *range(200, 400)] for n in (10, 11, 12)]
    with LlamaEngine(pico, options, n_threads=1, scene_room=1 << 30, contexts=tmp_path) as engine:
        for prompt in prompts:
            said(engine, prompt)
    assert len(context_files(tmp_path)) == 3
    with LlamaEngine(pico, options, n_threads=1, scene_room=1 << 30, contexts=tmp_path) as engine:
        assert [said(engine, prompt)[0] for prompt in prompts] == [1, 1, 1]


def test_nothing_is_written_where_nothing_was_asked(pico: Path, tmp_path: Path) -> None:
    with LlamaEngine(pico, LoadOptions(n_ctx=512), n_threads=1) as engine:
        said(engine, [*range(100, 400)])
    assert list(tmp_path.iterdir()) == []


def test_an_idle_thread_does_its_job_once_and_gives_it_up_for_another() -> None:
    thread, seen = JobThread("test-idle"), []

    def job(idle: object) -> None:
        assert callable(idle)
        seen.append(idle())
        thread.submit(lambda: None)
        seen.append(idle())

    thread.submit(thread.when_idle, IdleJob(0.001, job)).result()
    end = time.monotonic() + 60
    while len(seen) < 2 and time.monotonic() < end:
        time.sleep(0.001)
    thread.stop()
    assert seen == [True, False]
