"""Runs that are stopped, files that do not belong together, texts that are too short."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pico import write_pico

from relay_gguf.errors import QualityError
from relay_gguf.quality import base_logits
from relay_gguf.quality.base_logits import BaseWriter, read_base_logits
from relay_gguf.quality.comparison import (
    ALL,
    REST,
    SPOKEN,
    Comparison,
    LogitsPlace,
    MeasuredText,
    compare,
)
from relay_gguf.quality.listing_text import comparison_lines
from relay_gguf.quality.measure import Computing, _key
from relay_gguf.quality.model_file import model_file
from relay_gguf.quality.probabilities import packed

NAMES = ("base.gguf", "noisy.gguf")


class Reads:
    """Counts the chunks that each file reads, and stops a run where it is told to."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.chunks: dict[str, int] = {}
        self._stop = stop
        self._before: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        begun = self._before.setdefault(name, done)
        self.chunks[name] = done - begun
        if (name, done) == self._stop:
            raise KeyboardInterrupt


def run(
    tiny: Any, talk: Path, folder: Path, reads: Reads | None = None, logits: str = ""
) -> Comparison:
    """Compare on a few scenes: 30 chunks of 64 tokens, eight at once."""
    return compare(
        model_file(tiny.base),
        [model_file(tiny.noisy)],
        MeasuredText(talk, 64, 30 * 31),
        Computing(n_threads=1, watch=reads or Reads()),
        LogitsPlace(folder / "cache", folder / logits if logits else None),
    )


def left(folder: Path) -> list[str]:
    """The files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def whole(tiny: Any, talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """What a run gives that nobody stops; it leaves nothing behind."""
    folder = tmp_path_factory.mktemp("whole")
    reads = Reads()
    found = run(tiny, talk, folder, reads)
    assert reads.chunks == dict.fromkeys(NAMES, 30)
    assert left(folder) == []
    return found


def test_lines_of_the_model_are_told_apart(whole: Comparison) -> None:
    groups = whole.files[0].groups
    spoken, rest, everything = (groups[name] for name in (SPOKEN, REST, ALL))
    assert spoken.n_positions + rest.n_positions == everything.n_positions == 30 * 31
    means = [(each.kld.value * each.n_positions) for each in (spoken, rest, everything)]
    assert means[0] + means[1] == pytest.approx(means[2])
    lines = list(comparison_lines(whole))
    assert [line for line in lines if line.startswith("What the model says")] == [
        f"What the model says (lines of `user`): {spoken.n_positions:,} positions"
    ]
    assert f"{everything.kld.value:.5f} ± {everything.kld.error:.5f}" in "\n".join(lines)


def test_a_stopped_run_goes_on_where_it_stood(
    tiny: Any, talk: Path, tmp_path: Path, whole: Comparison
) -> None:
    """With the base's file whole, the base is not read again, and the file only from there on."""
    with pytest.raises(KeyboardInterrupt):
        run(tiny, talk, tmp_path, Reads((NAMES[1], 20)), "base.logits")
    reads = Reads()
    found = run(tiny, talk, tmp_path, reads, "base.logits")
    assert reads.chunks == {NAMES[1]: 30 - 16}  # chunks that were read together with the last one
    np.testing.assert_array_equal(found.files[0].values, whole.files[0].values)
    reads = Reads()
    run(tiny, talk, tmp_path, reads, "base.logits")
    assert reads.chunks == {}


def test_values_of_files_of_one_size_and_with_the_same_edges_are_not_mixed_up(tiny: Any) -> None:
    """As of two files for the same --target-size, which differ in the middle."""
    file = model_file(tiny.base)
    first, *rest = file.model.tensors
    changed = SimpleNamespace(tensors=[replace(first, ggml_type=first.ggml_type + 1), *rest])
    other: Any = SimpleNamespace(identity=file.identity, model=changed)
    tokens = np.zeros((1, 4), np.int32)
    base: Any = SimpleNamespace(n_vocab=8, n_ctx=4, tokens=tokens, records=lambda *_: tokens)
    assert _key(file, base) == _key(model_file(tiny.base), base)
    assert _key(file, base) != _key(other, base)


def test_a_base_that_was_not_whole_leaves_nothing(tiny: Any, talk: Path, tmp_path: Path) -> None:
    for logits in ("base.logits", ""):
        with pytest.raises(KeyboardInterrupt):
            run(tiny, talk, tmp_path, Reads((NAMES[0], 9)), logits)
        assert left(tmp_path) == []


def test_what_a_killed_run_left_is_removed(tiny: Any, talk: Path, tmp_path: Path) -> None:
    old = tmp_path / "cache" / "run-abc"
    old.mkdir(parents=True)
    for name in ("lock", "base.logits.relay-gguf-partial"):
        (old / name).write_bytes(b"")
    with pytest.raises(KeyboardInterrupt):
        run(tiny, talk, tmp_path, Reads((NAMES[0], 1)))
    assert left(tmp_path) == []


def spoiled(change: Callable[[bytes], bytes]) -> Callable[[Path, Any], LogitsPlace]:
    """llama.cpp's file of logits, changed."""

    def make(folder: Path, tiny: Any) -> LogitsPlace:
        there = Path(__file__).parents[1] / "golden" / "quality" / "base.logits"
        path = folder / "spoiled.logits"
        path.write_bytes(change(there.read_bytes()))
        return LogitsPlace(folder, path)

    return make


def other_origin(folder: Path, tiny: Any) -> LogitsPlace:
    """A file of logits that says that it is of a model with another vocabulary."""
    tokens = read_base_logits(Path(__file__).parents[1] / "golden/quality/base.logits").tokens
    origin = {**model_file(tiny.base).origin, "vocabulary": "0", "model": "other.gguf"}
    with BaseWriter(folder / "other.logits", tokens, 280, origin) as writer:
        writer.add(packed(np.zeros((105, 280), np.float32)))
    return LogitsPlace(folder, folder / "other.logits")


REFUSED = {
    "is not there": (lambda folder, tiny: LogitsPlace(folder, folder / "no"), "There is no file"),
    "is something else": (spoiled(lambda data: b"GGUF" + data), "is not a file of logits"),
    "is truncated": (
        spoiled(lambda data: data[:-1]),
        "is truncated: it has 60,619 bytes of 60,620",
    ),
    "ends in its head": (spoiled(lambda data: data[:12]), "is not a file of logits"),
    "has impossible sizes": (
        spoiled(lambda data: data[:8] + struct.pack("<i", -5) + data[12:]),
        "is damaged: it says 15 chunks of -5 tokens of 280",
    ),
    "has tokens that are none": (
        spoiled(lambda data: data[:20] + struct.pack("<i", 280) + data[24:]),
        "has tokens that are none",
    ),
    "has another number of tokens": (
        spoiled(lambda data: data[:12] + struct.pack("<i", 281) + data[16:] + bytes(420)),
        "logits for 281 tokens, and .* knows 280",
    ),
    "is of another vocabulary": (other_origin, "has another vocabulary than other.gguf"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_logits_that_are_refused(case: str, tiny: Any, tmp_path: Path) -> None:
    make, said = REFUSED[case]
    with pytest.raises(QualityError, match=said):
        compare(None, [model_file(tiny.noisy)], MeasuredText(), Computing(), make(tmp_path, tiny))


def test_logits_of_another_text_or_base_are_not_overwritten(
    tiny: Any, talk: Path, tmp_path: Path
) -> None:
    text = MeasuredText(talk, 64, 4 * 31)
    place = LogitsPlace(tmp_path, tmp_path / "base.logits")
    compare(model_file(tiny.base), [model_file(tiny.noisy)], text, Computing(), place)
    before = (tmp_path / "base.logits").read_bytes()
    longer = MeasuredText(talk, 64, 5 * 31)
    for base, read, said in (
        (tiny.base, longer, "logits for another text, context or number of positions"),
        (tiny.noisy, text, "has the logits of base.gguf, another file than"),
    ):
        with pytest.raises(QualityError, match=said):
            compare(model_file(base), [model_file(tiny.noisy)], read, Computing(), place)
    assert (tmp_path / "base.logits").read_bytes() == before


def test_files_of_other_models_are_refused(tiny: Any, smollm2: Path, tmp_path: Path) -> None:
    others = {
        "another model than base.gguf: llama of 1 blocks": {"n_vocab": 280, "n_layer": 1},
        "has another vocabulary than base.gguf": {"n_vocab": 281},
    }
    for said, options in others.items():
        path = write_pico(tmp_path / f"{len(said)}.gguf", smollm2, **options)
        place = LogitsPlace(tmp_path)
        with pytest.raises(QualityError, match=said):
            compare(model_file(tiny.base), [model_file(path)], MeasuredText(), Computing(), place)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("short.txt", "hello " * 10, "two chunks of 64 are the least"),
        ("hardly.txt", "hello there, " * 20, "positions are too few"),
        ("short.jsonl", '{"messages": [{"role": "anon", "content": "hi"}]}\n', "a window of 64"),
        ("bad.jsonl", '{"text": "hi"}\n', "line 1 is not a conversation"),
        ("worse.jsonl", "\n[1, 2]\n", "line 2 is not a conversation"),
        ("nick.jsonl", '{"messages": [{"role": 1, "content": "hi"}]}\n', "line 1 is not a"),
    ],
)
def test_texts_that_are_refused(name: str, text: str, said: str, tiny: Any, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    read = MeasuredText(tmp_path / name, 64)
    with pytest.raises(QualityError, match=said):
        compare(
            model_file(tiny.base),
            [model_file(tiny.noisy)],
            read,
            Computing(),
            LogitsPlace(tmp_path),
        )


def test_a_full_disk_is_told_before_anything_is_read(
    tiny: Any, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads()
    monkeypatch.setattr(base_logits, "free_space", lambda path: 1000)
    with pytest.raises(QualityError, match="and 1 KB are free there"):
        run(tiny, talk, tmp_path, reads, "base.logits")
    assert reads.chunks == {}


def test_data_sets_scenes_are_read_in_both_forms(tiny: Any, tmp_path: Path) -> None:
    said = [("anon", "is it far to the harbour, and does the bus go there?"), ("user", "no. yes!")]
    forms = {
        "chat": {"messages": [{"role": who, "content": text} for who, text in said]},
        "sharegpt": {"conversations": [{"from": who, "value": text} for who, text in said]},
    }
    found = []
    for name, form in forms.items():
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(form)}\n" * 9, "utf-8")
        text = MeasuredText(tmp_path / f"{name}.jsonl", 64, 120)
        base, noisy = model_file(tiny.base), model_file(tiny.noisy)
        found.append(compare(base, [noisy], text, Computing(), LogitsPlace(tmp_path)))
    assert found[0].files[0].groups == found[1].files[0].groups
