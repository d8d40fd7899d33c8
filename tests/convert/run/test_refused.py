"""Conversions into folders where another one is, or was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from conversions import JOURNAL, Pair, converted, digests
from hf_models import write_adapter
from stopped_runs import TYPES, free, stopped

from relay_gguf.convert.job import prepare
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import ConvertedFiles, check, run
from relay_gguf.errors import ConversionError


def test_another_conversion_in_the_same_folder_is_refused(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    stopped(wanted, tmp_path, 3)
    before = digests(tmp_path)
    other = replace(wanted, ftypes=("F16",))
    with pytest.raises(ConversionError, match=r"an unfinished conversion \(pico-relay to Q8_0, Q4"):
        converted(other, tmp_path)
    assert digests(tmp_path) == before
    converted(other, tmp_path, restart=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"pico-relay-F16.gguf", "pico-relay-F16.report.json"}


def test_restart_discards_an_unfinished_conversion(
    wanted: Request, whole: Path, tmp_path: Path, opened: list[str]
) -> None:
    job = stopped(wanted, tmp_path, 3)
    opened.clear()
    converted(wanted, tmp_path, restart=True)
    assert opened[0] == job.tensors[0].name
    assert digests(tmp_path) == digests(whole)


def test_a_changed_source_is_another_conversion(
    pico_mistral: Pair, wanted: Request, tmp_path: Path
) -> None:
    adapter, out = tmp_path / "pico-relay", tmp_path / "out"
    shutil.copytree(pico_mistral.adapter, adapter)
    copied = replace(wanted, adapter=str(adapter))
    stopped(copied, out, 3)
    write_adapter(adapter, pico_mistral.base, grow=["<|im_start|>", "<|im_end|>"], seed=2)
    with pytest.raises(ConversionError, match="an unfinished conversion"):
        converted(copied, out)


def test_existing_files_are_replaced_by_force_alone(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "pico-relay-Q4_K_M.gguf"
    taken.write_text("mine")
    with pytest.raises(ConversionError) as error:
        converted(wanted, tmp_path)
    assert str(error.value) == f"{taken} exists. --force replaces it."
    assert digests(tmp_path) == {taken.name: sha256(b"mine").hexdigest()}
    stopped(wanted, tmp_path, 7, force=True)
    assert taken.read_text() == "mine"
    converted(wanted, tmp_path, force=True)
    assert digests(tmp_path) == digests(whole)
    with pytest.raises(ConversionError, match=r"exists\. --force replaces it"):
        converted(wanted, tmp_path)
    assert digests(tmp_path) == digests(whole)


def refusals(wanted: Request, out: Path) -> set[str]:
    """What a conversion says, and its check before it; neither changes anything."""
    job, before, said = prepare(wanted), digests(out) if out.is_dir() else None, set()
    starts: tuple[Callable[[], object], ...] = (
        lambda: check(job, out),
        lambda: list(run(job, out)),
    )
    for start in starts:
        with pytest.raises(ConversionError) as error:
            start()
        said.add(str(error.value))
        assert (digests(out) if out.is_dir() else None) == before
    return said


def test_the_check_refuses_what_the_run_refuses(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    check(prepare(wanted), out)
    assert not out.exists()
    with monkeypatch.context() as patch:
        free(patch, lambda: 1_000_000)
        (said,) = refusals(wanted, out)
        assert said.startswith("The files take ")
    out.write_text("mine")
    assert refusals(wanted, out) == {f"Cannot write {out}: it is not a folder."}
    out.unlink()
    for name in ("pico-relay-Q2_K.gguf", "pico-relay-Q8_0.report.json"):
        out.mkdir()
        (out / name).write_text("mine")
        assert refusals(wanted, out) == {f"{out / name} exists. --force replaces it."}
        check(prepare(wanted), out, force=True)
        assert [path.name for path in out.iterdir()] == [name]
        shutil.rmtree(out)
    job = stopped(wanted, out, 3)
    with (out / JOURNAL).open("ab") as file:
        file.write(b'{"cut')
    before = digests(out)
    check(job, out)
    check(prepare(replace(wanted, ftypes=("F16",))), out, restart=True)
    assert digests(out) == before
    converted(wanted, out, restart=True)


def test_a_second_conversion_into_a_folder_is_refused(wanted: Request, tmp_path: Path) -> None:
    events = run(prepare(wanted), tmp_path, n_threads=1)
    next(events)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ConversionError, match="Another relay-gguf converts into"):
        converted(wanted, tmp_path)
    with pytest.raises(ConversionError, match="Another relay-gguf converts into"):
        check(prepare(wanted), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert [event.ftype for event in events if isinstance(event, ConvertedFiles)] == list(TYPES)
