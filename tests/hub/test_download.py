"""Downloads: a file or all shards of a model, fetched once and found again."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from downloads import CONTENT, DIGEST, NAME, PARTS, Notes, leftovers
from hub_server import COMMIT, Handler

from relay_gguf.errors import ModelError
from relay_gguf.hub import download as hub_download
from relay_gguf.hub.repo import RepoFile
from relay_gguf.hub.watcher import DeclinedError, Download
from relay_gguf.models.locate import find, locate

# A file


def test_a_file_is_fetched_once(server: type[Handler], folder: Path) -> None:
    server.mood.card = {"license": "cc-by-nc-4.0"}
    notes = Notes()
    path = locate("o/r", notes)
    assert path == folder / "snapshots" / COMMIT / NAME
    assert path.read_bytes() == CONTENT
    assert notes.asked == [
        Download("o/r", (NAME,), len(CONTENT), len(CONTENT), notes.asked[0].free, "cc-by-nc-4.0")
    ]
    assert notes.done[-1] == (len(CONTENT), len(CONTENT))
    assert notes.done == sorted(notes.done)
    assert not notes.checked
    asked = len(server.requests)
    assert locate("o/r") == locate("o/r:q4_k_m") == path
    assert len(server.requests) == asked, "without asking the network again"
    assert (folder / "refs" / "main").read_text() == COMMIT
    assert (folder / "blobs" / DIGEST).read_bytes() == CONTENT
    assert leftovers(folder) == []


def test_the_hubs_own_library_finds_it(server: type[Handler]) -> None:
    from huggingface_hub import hf_hub_download, scan_cache_dir

    path = locate("o/r:Q4_K_M")
    asked = len(server.requests)
    assert hf_hub_download("o/r", NAME, local_files_only=True) == str(path)
    assert hf_hub_download("o/r", NAME) == str(path)
    assert [r.split()[0] for r in server.requests[asked:]] == ["HEAD"], "nothing is downloaded"
    (repo,) = scan_cache_dir(path.parents[3]).repos
    assert repo.size_on_disk == len(CONTENT)
    # And the other way round.
    theirs = hf_hub_download("o/r", "small-Q8_0.gguf")
    assert find("o/r:Q8_0") == Path(theirs)


def test_where_there_are_no_links(
    server: type[Handler], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True, raising=False)
    path = locate("o/r:F16")
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT[1:]
    assert not list((folder / "blobs").iterdir()), "moved, not copied"
    asked = len(server.asked)
    assert hub_download.fetch(RepoFile("o/r", "F16")) == path
    assert len(server.asked) == asked


def test_a_cache_that_may_only_be_read(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = locate("o/r")
    for name in ("symlink_to", "unlink", "replace"):
        monkeypatch.setattr(Path, name, refused)
    assert hub_download.fetch(RepoFile("o/r")) == path


def test_a_file_in_git_itself(server: type[Handler], folder: Path) -> None:
    path = locate("o/r/small-Q8_0.gguf")
    assert path.read_bytes() == b"GGUF small"
    assert len(path.readlink().name) == 40, "git's checksum, which is checked too"


def test_another_revision(server: type[Handler], folder: Path) -> None:
    path = locate("o/r@v1:Q4_K_M")
    assert path.read_bytes() == CONTENT
    assert any("/api/models/o/r/revision/v1" in request for request in server.requests)
    assert (folder / "refs" / "v1").read_text() == COMMIT
    assert not (folder / "refs" / "main").exists()
    asked = len(server.requests)
    assert locate("https://huggingface.co/o/r/tree/v1") == path
    assert len(server.requests) == asked, "without asking the network again"
    assert find("o/r@v2") is None
    assert find(f"o/r@{COMMIT}") == path


def test_a_link_to_something_else() -> None:
    for link in ("https://huggingface.co/datasets/o/r", "https://example.org/o/r/x.gguf"):
        with pytest.raises(ModelError, match=f"{link} is not the address of a model on the hub"):
            locate(link)


def test_nothing_is_downloaded_that_nobody_wants(server: type[Handler], folder: Path) -> None:
    with pytest.raises(DeclinedError, match=r"Nothing was downloaded\."):
        locate("o/r", Notes(answer=False))
    assert server.asked == []
    assert not folder.exists() or leftovers(folder) == []


# Split models


@pytest.mark.parametrize("model", ["o/r:F16", *(f"o/r/{name}" for name in PARTS)])
def test_all_shards_of_a_model_are_downloaded(
    server: type[Handler], folder: Path, model: str
) -> None:
    notes = Notes()
    path = locate(model, notes)
    assert path == folder / "snapshots" / COMMIT / "F16" / "r-F16-00001-of-00003.gguf"
    parts = sorted(path.parent.iterdir())
    assert [part.read_bytes() for part in parts] == list(PARTS.values())
    total = sum(map(len, PARTS.values()))
    assert notes.asked[0].files == tuple(PARTS)
    assert (notes.asked[0].total, notes.done[-1]) == (total, (total, total))
    assert notes.done == sorted(notes.done)


def test_only_the_missing_part_comes(server: type[Handler], folder: Path) -> None:
    path = locate("o/r:F16")
    second = path.with_name("r-F16-00002-of-00003.gguf")
    second.resolve().unlink()
    assert find("o/r:F16") is None
    server.asked.clear()
    notes = Notes()
    assert locate("o/r:F16", notes) == path
    assert second.read_bytes() == CONTENT[2:]
    assert len(server.asked) == 1
    assert notes.asked[0].missing == len(CONTENT) - 2


def test_a_link_that_another_process_makes_at_that_moment(
    server: type[Handler], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes stay where that link leads to."""
    make = Path.symlink_to

    def overtaken(self: Path, target: str) -> None:
        make(self, target)
        make(self, target)

    monkeypatch.setattr(Path, "symlink_to", overtaken)
    path = locate("o/r")
    assert path.is_symlink()
    assert path.resolve().parent == (folder / "blobs").resolve()
