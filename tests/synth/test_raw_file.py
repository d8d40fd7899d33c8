"""Finished scenes on the disk: none lost, none twice, none of another run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_scenes import raw_scene

from relay_gguf.errors import StoreError
from relay_gguf.synth.chosen import read_all
from relay_gguf.synth.prompts.premise import Premise
from relay_gguf.synth.raw.raw_file import RawFile, scenes_of
from relay_gguf.synth.raw.raw_scene import from_json, to_json
from relay_gguf.synth.raw.run_file import (
    BaseFacts,
    SynthRun,
    begin_or_compare,
    read_run,
    run_path,
)

RUN = SynthRun(BaseFacts("b.gguf", "ab" * 32, "B", "mit", "F16"), {"seed": 1, "head": "relay"}, {})


def test_a_scene_is_a_line_of_json() -> None:
    scene = raw_scene("<anon> hü\n<user> ho", 7, premise=Premise("boats", "t", "b"), logprob=-1.25)
    line = to_json(scene)
    assert "\n" not in line
    assert json.loads(line)["i"] == 7
    assert from_json(line) == scene


def test_every_place_where_a_kill_may_cut_leaves_whole_scenes(tmp_path: Path) -> None:
    path = tmp_path / "chats-raw.jsonl"
    with RawFile(path) as file:
        for number in range(3):
            file.add(raw_scene("<anon> a\n<user> b", number))
    data = path.read_bytes()
    ends = [n for n, byte in enumerate(data, 1) if byte == ord("\n")]
    for cut in range(0, len(data) + 1, 7):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert len(list(scenes_of(path))) == whole
        with RawFile(path) as file:
            assert file.done == set(range(whole))
            file.add(raw_scene("<anon> c\n<user> d", 9))
        assert [scene.number for scene in scenes_of(path)] == [*range(whole), 9]


def test_a_scene_is_on_the_disk_when_it_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    with RawFile(tmp_path / "raw.jsonl") as file:
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
        file.add(raw_scene("<anon> a\n<user> b"))
    assert synced == [(tmp_path / "raw.jsonl").stat().st_size]


def test_a_full_disk_leaves_the_last_whole_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "raw.jsonl"
    with RawFile(path) as file:
        file.add(raw_scene("<anon> a\n<user> b", 1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space") as caught:
                file.add(raw_scene("<anon> a\n<user> b", 2))
        assert caught.value.filename == str(path)
        assert [scene.number for scene in scenes_of(path)] == [1]


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    with RawFile(path), pytest.raises(StoreError, match="Another process writes into"):
        RawFile(path)
    RawFile(path).close()


def test_a_line_that_is_not_a_scene_is_named(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    good = to_json(raw_scene("<anon> a\n<user> b"))
    for bad in ('{"messages": []}', "[]", "nonsense", good.replace('"relay"', '"other"')):
        path.write_text(f"{good}\n{bad}\n", "utf-8")
        with pytest.raises(StoreError, match="line 2 is not a raw scene"):
            RawFile(path)
    with pytest.raises(StoreError, match="Cannot read"):
        list(scenes_of(tmp_path / "none"))


def test_another_model_or_option_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chats-raw.jsonl"
    begin_or_compare(path, RUN)
    begin_or_compare(path, RUN)
    begin_or_compare(path, replace(RUN, origin={"starters_license": "told later"}))
    assert read_run(run_path(path)) == RUN
    other = replace(RUN, model=replace(RUN.model, sha256="cd" * 32))
    with pytest.raises(StoreError, match=r"another model, b\.gguf \(SHA-256 abababababab\.\.\.\)"):
        begin_or_compare(path, other)
    with pytest.raises(StoreError, match="begun with --seed 1, and this is 2"):
        begin_or_compare(path, replace(RUN, options={"seed": 2, "head": "relay"}))
    moved = replace(RUN, model=replace(RUN.model, file="elsewhere.gguf"))
    begin_or_compare(path, moved)  # the same bytes by another name


def test_scenes_without_their_run_file_are_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "chats-raw.jsonl"
    path.write_text(to_json(raw_scene("<anon> a")) + "\n", "utf-8")
    with pytest.raises(StoreError, match=r"its run file chats-raw\.run\.json is not beside it"):
        begin_or_compare(path, RUN)
    for text in ("[]", "{}", '{"format": 1}', "x"):
        run_path(path).write_text(text, "utf-8")
        with pytest.raises(StoreError, match="is not the run file"):
            read_run(run_path(path))
    run_path(path).write_text('{"format": 9}', "utf-8")
    with pytest.raises(StoreError, match="of a later version"):
        read_run(run_path(path))


def test_parts_are_joined_and_a_scene_counts_once(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a-raw.jsonl", "b-raw.jsonl")]
    for path, numbers in zip(paths, (range(4), range(3, 6)), strict=True):
        with RawFile(path) as file:
            for number in reversed(numbers):
                file.add(raw_scene("<anon> a\n<user> b", number))
    scenes, twice = read_all(paths)
    assert ([scene.number for scene in scenes], twice) == ([0, 1, 2, 3, 4, 5], 1)
    with RawFile(tmp_path / "c-raw.jsonl") as file:
        file.add(raw_scene("<anon> a\n<user> b", 3, run="another"))
    assert len(read_all([*paths, tmp_path / "c-raw.jsonl"])[0]) == 7
