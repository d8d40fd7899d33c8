"""A base on the hub that is read where it is: the files are the same, and it is never stored."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import COMMIT, Handler, Repos
from stopped_runs import report_of, stopped

from relay_gguf.cli.convert.text import plan_json, plan_lines, result_lines
from relay_gguf.convert.job import prepare
from relay_gguf.convert.read.hub_folder import extents
from relay_gguf.convert.read.source import open_source
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import ConvertedFiles, Progress, run
from relay_gguf.errors import ModelError
from relay_gguf.hub.api import snapshot
from relay_gguf.hub.repo import RepoFolder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.gguf")}


def n_given(hub: type[Handler]) -> int:
    return sum(n_bytes for _, _, n_bytes in hub.given)


def test_the_files_are_those_of_the_folder(
    wanted: Request, whole: Path, hub: type[Handler], repos: Repos, tmp_path: Path
) -> None:
    """Stopped in the middle, and resumed by another process, which fetches the rest alone."""
    out = tmp_path / "out"
    job = stopped(wanted, out, 5)
    for thread in threading.enumerate():
        if thread.name == "fetch":  # on a busy machine one may be on its way still
            thread.join(20)
    hub.given.clear()
    resumed = prepare(wanted)
    headers = n_given(hub)
    rest = sum(extent.size for extent in extents(job.model.weights.stored(job.tensors[5:])))
    events = list(run(resumed, out, n_threads=2))
    assert files_of(out) == files_of(whole)
    weights = sum(len(c) for name, c in repos["o/base"].items() if name.startswith("model-"))
    assert n_given(hub) == headers + rest
    assert job.to_fetch + headers == weights
    told = [event.fetched for event in events if isinstance(event, Progress) and event.fetched]
    assert (told[-1].done, told[-1].total) == (headers + rest, headers + rest)
    assert not hub.leaked
    assert not [request for request in hub.requests if "consolidated" in request]
    assert not list(tmp_path.rglob("*.safetensors")), "neither in the cache nor in the folder"
    assert max(path.stat().st_size for path in (tmp_path / "hf").rglob("blobs/*")) < 200_000
    finished = [event for event in events if isinstance(event, ConvertedFiles)]
    assert "The SHA-256 of model-00001" in "\n".join(result_lines(finished, out))
    fetched = report_of(out, "Q8_0")["fetched"]
    assert {(file["commit"], file["sha256_checked"]) for file in fetched} == {(COMMIT, False)}


def test_the_plan_says_what_will_be_fetched(wanted: Request, hub: type[Handler]) -> None:
    job = prepare(wanted, weights=False)
    plan = "\n".join(plan_lines(job, Path("out"), in_full=True, n_threads=1))
    assert "Reads 2 MB from o/base at commit cccccccccccc, and stores none of it" in plan
    assert plan_json(job, 1)["fetched"] == job.to_fetch > 2_000_000
    kept = replace(job, request=replace(wanted, keep_source=True))
    plan = "\n".join(plan_lines(kept, Path("out"), in_full=True, n_threads=1))
    assert "Downloads 2 MB from o/base at commit cccccccccccc first, and keeps them" in plan
    assert n_given(hub) < 10_000, "headers alone"


def test_what_is_in_the_cache_is_read_there(
    hub: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_source("o/base")
    with monkeypatch.context() as offline:
        offline.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ModelError, match="the hub is offline"):
            open_source("o/base")
    snapshot(RepoFolder("o/base"), ["*00002*"])
    hub.given.clear()
    source = open_source("o/base")
    assert source.fetching
    assert "00002" not in " ".join(file.name for file in source.fetching.files)
    stored = source.checkpoint.stored(source.checkpoint.infos)
    assert {tensor.file.name.startswith("o/base/") for tensor in stored} == {True, False}
    assert open_source("o/base", keep=True).fetching is None
    assert open_source("o/base").fetching is None, "all is here now"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert open_source("o/base").checkpoint.infos == source.checkpoint.infos
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "repos", {})  # gone, or not open to this user any more
    found = open_source("o/base")
    assert (found.fetching, found.checkpoint.infos) == (None, source.checkpoint.infos)
    next(found.folder.glob("*.safetensors")).unlink()
    with pytest.raises(ModelError, match="no repository o/base on the hub that you may read"):
        open_source("o/base")
