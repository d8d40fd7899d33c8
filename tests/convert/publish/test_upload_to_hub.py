"""Uploads by the hub's own library, to a stand-in of the hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from upload_server import Handler, taking
from uploads import NAMES, command

from relay_gguf.hub import api as hub

needs_send = pytest.mark.skipif(not hasattr(hub, "send"), reason="hub.py cannot send yet")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    with taking(monkeypatch, str(tmp_path / "hf")) as handler:
        yield handler


@needs_send
@pytest.mark.thorough
def test_the_hub_gets_the_files(ready: Path, server: type[Handler]) -> None:
    status, printed, errors = command(ready, "o/r", "--yes", "--private")
    assert (status, printed.splitlines()[-1][-9:]) == (0, "d" * 9), errors
    repo = server.repos["o/r"]
    assert repo.private
    assert repo.files == {name: (ready / name).read_bytes() for name in NAMES}
    assert command(ready, "o/r", "--yes")[1].endswith("\no/r has all of it.\n")
    (ready / "LICENSE").write_text("other terms")
    assert "changed      1 KB  LICENSE" in command(ready, "o/r", "--yes")[1]
    assert [message.split(",")[0] for message in repo.messages] == ["8 files", "1 file"]
    assert len(server.puts) == 2, "the models were sent once"


@pytest.mark.thorough
@needs_send
def test_a_refusal_of_the_hub_is_told(ready: Path, server: type[Handler]) -> None:
    status, _, errors = command(ready, "closed/r", "--yes")
    assert (status, errors.splitlines()[-1]) == (
        1,
        "You may not write to closed/r on the hub. Run `hf auth login` with a token that may "
        "write, and check the owner's name.",
    )
    (ready / "README.md").write_text("---\nlicense: nope\n---\n")
    status, _, errors = command(ready, "o/r", "--yes")
    assert status == 1
    assert "The hub refuses the files: Invalid metadata in README.md" in errors
