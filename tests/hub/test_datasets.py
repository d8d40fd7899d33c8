"""Tables in data sets of the hub: which file is meant, and where it is found without the hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_server import Handler

from relay_gguf.hub.dataset_file import cached_table, parse_table
from relay_gguf.hub.download import fetch
from relay_gguf.hub.repo import RepoFile


def test_revisions_of_a_data_set() -> None:
    """`main` is not named; a branch whose name begins so is another one."""
    for revision, meant in (("main", ""), ("main-2", "main-2"), ("v1", "v1")):
        wanted = parse_table(f"o/d@{revision}/data/x.json")
        assert wanted == RepoFile("datasets/o/d", file="data/x.json", revision=meant)
    assert parse_table("o/d") == RepoFile("datasets/o/d")


def test_a_table_of_a_revision_is_found_again(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache names folders by commits, and tells beside them which one a revision was."""
    monkeypatch.setattr(server, "repos", {"o/d": {"q.json": b"[1]"}})
    wanted = RepoFile("datasets/o/d", revision="v1")
    assert cached_table(wanted) is None
    path: Path = fetch(wanted)
    server.requests.clear()
    assert cached_table(wanted) == path
    assert cached_table(RepoFile("datasets/o/d")) == path
    assert cached_table(RepoFile("datasets/o/d", revision="v2")) is None
    assert server.requests == []
