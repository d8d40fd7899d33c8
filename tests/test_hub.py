"""Model arguments, and fetching from a small server that speaks the Hub's protocol."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Handler, serving

from relay_gguf import hub
from relay_gguf.errors import ModelError
from relay_gguf.hub import RepoFile, locate, parse_repo, pick_file


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("danlou/relay-GGUF", RepoFile("danlou/relay-GGUF")),
        ("danlou/relay-GGUF:Q8_0", RepoFile("danlou/relay-GGUF", ftype="Q8_0")),
        ("danlou/relay-GGUF/sub/x-F16.gguf", RepoFile("danlou/relay-GGUF", file="sub/x-F16.gguf")),
        ("models/relay.gguf", None),
        ("relay.gguf", None),
        ("./danlou/relay", None),
        ("/danlou/relay", None),
        ("~/danlou/relay", None),
        ("a/b/c", None),
    ],
)
def test_what_an_argument_asks(model: str, wanted: RepoFile | None) -> None:
    assert parse_repo(model) == wanted


FILES = ["README.md", "r-Q4_K_M.gguf", "r-Q8_0.gguf", "r-F16-00001-of-00002.gguf", "mmproj-r.gguf"]


@pytest.mark.parametrize(
    ("wanted", "files", "file"),
    [
        (RepoFile("o/r"), FILES, "r-Q4_K_M.gguf"),
        (RepoFile("o/r"), ["only-Q2_K.gguf"], "only-Q2_K.gguf"),
        (RepoFile("o/r", ftype="q8_0"), FILES, "r-Q8_0.gguf"),
        (RepoFile("o/r", file="r-F16-00001-of-00002.gguf"), FILES, "r-F16-00001-of-00002.gguf"),
    ],
)
def test_which_file_is_taken(wanted: RepoFile, files: list[str], file: str) -> None:
    assert pick_file(wanted, files) == file


@pytest.mark.parametrize(
    ("wanted", "files", "message"),
    [
        (RepoFile("o/r", ftype="Q3_K"), FILES, "no file of type Q3_K. It has: r-Q4_K_M.gguf, r-Q8"),
        (RepoFile("o/r", file="x.gguf"), FILES, "o/r has no file x.gguf"),
        (RepoFile("o/r"), ["README.md"], "It has: no GGUF file"),
        (RepoFile("o/r"), ["a-Q8_0.gguf", "a-F16.gguf"], "no single file or Q4_K_M"),
    ],
)
def test_what_cannot_be_chosen(wanted: RepoFile, files: list[str], message: str) -> None:
    with pytest.raises(ModelError, match=message.replace(".", r"\.")):
        pick_file(wanted, files)


CONTENT = b"GGUF" + bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    files = dict.fromkeys(FILES[:3], CONTENT)
    with serving({"o/r": files}, monkeypatch, str(tmp_path / "hf")) as handler:
        yield handler


def located(model: str) -> str:
    """What `locate` says in a process of its own: the hub's library reads its settings once."""
    code = (
        "import sys; from relay_gguf.hub import locate; from relay_gguf.errors import ModelError\n"
        "try: print(locate(sys.argv[1]))\n"
        "except ModelError as error: print(error)"
    )
    command = [sys.executable, "-c", code, model]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_file_is_fetched_once(server: type[Handler]) -> None:
    path = Path(located("o/r:Q8_0"))
    assert path.name == "r-Q8_0.gguf"
    assert path.read_bytes() == CONTENT
    asked = len(server.requests)
    assert located("o/r:Q8_0") == str(path)
    assert len(server.requests) == asked, "without asking the network again"
    usual = located("o/r")
    assert usual.endswith("r-Q4_K_M.gguf"), "another file in the cache is no answer to this"
    asked = len(server.requests)
    assert located("o/r") == usual
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("o/none", "no repository o/none on the hub"),
        ("o/gated", "o/gated is gated: accept its terms"),
        ("o/r:Q2_K", "no file of type Q2_K"),
    ],
)
def test_refusals(server: type[Handler], model: str, message: str) -> None:
    assert message in located(model)


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*args: object, **options: object) -> None:
        raise OSError("Connection refused")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", refused)
    with pytest.raises(ModelError, match="Cannot reach the hub for o/r: Connection refused"):
        locate("o/r")
    snapshot = tmp_path / "models--o--r" / "snapshots" / "c"
    snapshot.mkdir(parents=True)
    (snapshot / "r-Q8_0.gguf").touch()
    assert locate("o/r") == snapshot / "r-Q8_0.gguf", "better than none"


def test_a_path_stays_a_path(tmp_path: Path) -> None:
    assert locate(tmp_path / "x.gguf") == tmp_path / "x.gguf"
    assert locate("nowhere.gguf") == Path("nowhere.gguf")
    assert hub.locate("~") == Path.home()
