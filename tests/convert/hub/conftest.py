"""Fixtures: a base and an adapter on a hub on loopback, and what the base's folder makes here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conversions import Pair, converted, request
from hf_models import PICO, write_mistral
from hub_server import COMMIT, Handler, Repos, serving

from relay_gguf.convert.request import Request
from relay_gguf.hub import ranged_file

TYPES = ("Q8_0", "Q4_K_M")


@pytest.fixture(scope="session")
def here(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base's folder on this disk, in several shards, under the name that the hub has."""
    folder = tmp_path_factory.mktemp("hub") / f"models--o--base/snapshots/{COMMIT}"
    return write_mistral(folder, plain, PICO, shard_bytes=700_000)


@pytest.fixture(scope="session")
def repos(here: Path) -> Repos:
    files = {path.name: path.read_bytes() for path in here.iterdir()}
    # The same weights in another form, which Mistral's repositories have too.
    return {"o/base": files | {"consolidated.safetensors": b"twice"}}


@pytest.fixture(scope="session")
def whole(here: Path, pico_mistral: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a conversion of that folder makes."""
    out = tmp_path_factory.mktemp("whole")
    converted(request(here, *TYPES, adapter=pico_mistral.adapter, merge_base="nf4-double"), out)
    return out


@pytest.fixture
def wanted(pico_mistral: Pair) -> Request:
    """The same of the hub."""
    return Request(
        base="o/base",
        ftypes=TYPES,
        adapter=str(pico_mistral.adapter),
        merge_base="nf4-double",
        pre="smollm",
    )


@pytest.fixture
def hub(repos: Repos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    """The hub, before whose failures nobody waits; its cache is empty."""
    monkeypatch.setattr(ranged_file, "WAITS", (0.0,) * 7)
    with serving(repos, monkeypatch, str(tmp_path / "hf")) as handler:
        yield handler
