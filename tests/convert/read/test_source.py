"""Which weights of a folder are read, and the name of a folder in the hub's cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hf_tokenizers import dump_json
from planned_files import planned
from safetensors.numpy import save_file

from relay_gguf.convert.read.checkpoint import open_folder
from relay_gguf.convert.read.source import repository_of


def test_the_single_file_goes_before_a_leftover_index(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    dump_json(folder / "model.safetensors.index.json", index)
    save_file({"a": np.ones(4, np.float32)}, folder / "model-00001-of-00002.safetensors")
    assert "a" not in open_folder(folder).infos


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("hub/models--acme--Tiny-v1/snapshots/0123abcd", "acme/Tiny-v1"),
        ("/a/models--acme--Tiny--x/snapshots/0123abcd", "acme/Tiny--x"),
        ("models--gpt2/snapshots/0123abcd", "gpt2"),
        ("models--acme--Tiny-v1/0123abcd", None),
        ("acme/snapshots/0123abcd", None),
    ],
)
def test_a_snapshot_of_the_hubs_cache_has_its_repositorys_name(
    path: str, label: str | None
) -> None:
    assert repository_of(Path(path)) == label


def test_files_are_named_by_the_repository_of_a_snapshot(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--acme--Tiny-v1" / "snapshots" / ("0123456789abcdef" * 3)[:40]
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    job = planned(snapshot)
    assert job.targets[0].files[0].name == "Tiny-v1-Q8_0.gguf"
    assert job.model.origin["source"] == "acme/Tiny-v1"
