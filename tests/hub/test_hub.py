"""What an argument asks of the hub, and what the hub says, by a server that speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from hub_server import COMMIT, TOKEN, Handler, serving

from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.header import TensorInfo, Value, ValueType, pack_header
from relay_gguf.hub import api as hub
from relay_gguf.hub import file as hub_file
from relay_gguf.hub.api import UnreachableError
from relay_gguf.hub.repo import RepoFile, RepoFolder, parse_folder, parse_repo, pick_files
from relay_gguf.models.locate import locate


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("danlou/relay-GGUF", RepoFile("danlou/relay-GGUF")),
        ("danlou/relay-GGUF:Q8_0", RepoFile("danlou/relay-GGUF", ftype="Q8_0")),
        ("danlou/relay-GGUF/sub/x-F16.gguf", RepoFile("danlou/relay-GGUF", file="sub/x-F16.gguf")),
        ("hf.co/danlou/relay-GGUF:Q8_0", RepoFile("danlou/relay-GGUF", ftype="Q8_0")),
        ("https://huggingface.co/danlou/relay", RepoFile("danlou/relay")),
        ("https://huggingface.co/o/n/", RepoFile("o/n")),
        ("http://huggingface.co/o/n", RepoFile("o/n")),
        ("https://www.HuggingFace.co/o/n?library=gguf#files", RepoFile("o/n")),
        ("https://huggingface.co/o/n/tree/main", RepoFile("o/n")),
        ("https://huggingface.co/o/n/tree/main/Q8_0", RepoFile("o/n", "Q8_0")),
        ("https://huggingface.co/o/n/tree/v1.0", RepoFile("o/n", revision="v1.0")),
        ("https://huggingface.co/o/n/tree/refs%2Fpr%2F1", RepoFile("o/n", revision="refs/pr/1")),
        (
            "https://hf.co/o/n/blob/main/a/x-Q8_0.gguf",
            RepoFile("o/n", "", "a/x-Q8_0.gguf"),
        ),
        (
            "https://huggingface.co/o/n/resolve/main/x%20y.gguf?download=true",
            RepoFile("o/n", file="x y.gguf"),
        ),
        (
            "https://hf.co/o/n/resolve/abc123/x.gguf",
            RepoFile("o/n", "", "x.gguf", "abc123"),
        ),
        (
            "https://huggingface.co/o/n?show_file_info=x-Q6_K.gguf",
            RepoFile("o/n", file="x-Q6_K.gguf"),
        ),
        (
            "https://huggingface.co/o/n/tree/v1?show_file_info=a%2Fx.gguf",
            RepoFile("o/n", "", "a/x.gguf", "v1"),
        ),
        ("https://huggingface.co/o/n/blame/main/x.gguf", RepoFile("o/n", file="x.gguf")),
        ("https://huggingface.co/o/n/commit/abc1", RepoFile("o/n", revision="abc1")),
        ("https://huggingface.co/o/n/commits/main", RepoFile("o/n")),
        ("https://huggingface.co/o/n/discussions/3", RepoFile("o/n")),
        ("https://huggingface.co/o/n.git", RepoFile("o/n")),
        ("git@hf.co:o/n.git", RepoFile("o/n")),
        ("ssh://git@hf.co/o/n", RepoFile("o/n")),
        ("https://me:secret@huggingface.co:443/o/n", RepoFile("o/n")),
        (" <https://huggingface.co/o/n>\n", RepoFile("o/n")),
        ("https://huggingface.co/o/n:Q8_0", RepoFile("o/n", "Q8_0")),
        ("hf://o/n", RepoFile("o/n")),
        ("hf://o/n@v2/x.gguf", RepoFile("o/n", "", "x.gguf", "v2")),
        ("o/n@v2", RepoFile("o/n", revision="v2")),
        ("o/n@main:Q8_0", RepoFile("o/n", "Q8_0")),
        ("o/n@refs/pr/3:Q8_0", RepoFile("o/n", "Q8_0", revision="refs/pr/3")),
        ("o/n@my%2Fbranch:Q8_0", RepoFile("o/n", "Q8_0", revision="my/branch")),
        ("hf.co/o/n/blob/my%2Fb/a/x.gguf", RepoFile("o/n", "", "a/x.gguf", "my/b")),
        ("hf://o/n@my%2Fb/a%20b/x.gguf", RepoFile("o/n", "", "a b/x.gguf", "my/b")),
        ("o/n@..", None),
        ("o/n@x%2F..:Q8_0", None),
        ("https://huggingface.co/o/n/tree/..%2F..%2Fx", None),
        ("https://huggingface.co/datasets/o/n", None),
        ("https://huggingface.co/spaces/o", None),
        ("https://example.org/o/n", None),
        ("models/relay.gguf", None),
        ("relay.gguf", None),
        ("relay:Q8_0", None),
        ("./danlou/relay", None),
        ("/danlou/relay", None),
        ("~/danlou/relay", None),
        ("a/b/c", None),
        ("hf.co/danlou", None),
    ],
)
def test_what_an_argument_asks(model: str, wanted: RepoFile | None) -> None:
    assert parse_repo(model) == wanted
    if wanted is not None:
        assert parse_repo(str(wanted)) == wanted


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("o/n", RepoFolder("o/n")),
        ("o/n/", RepoFolder("o/n")),
        ("o/n@v1", RepoFolder("o/n", revision="v1")),
        ("o/n@main/a/b", RepoFolder("o/n", "a/b")),
        ("o/n@refs/pr/3/a", RepoFolder("o/n", "a", "refs/pr/3")),
        ("hf://o/n/checkpoint-500", RepoFolder("o/n", "checkpoint-500")),
        ("https://huggingface.co/o/n", RepoFolder("o/n")),
        ("https://huggingface.co/o/n.git", RepoFolder("o/n")),
        ("git@hf.co:o/n", RepoFolder("o/n")),
        ("https://huggingface.co/datasets/o/n", None),
        ("hf://spaces/o/n", None),
        ("https://huggingface.co/o/n/commit/abc1", RepoFolder("o/n", "", "abc1")),
        ("https://huggingface.co/o/n/discussions", RepoFolder("o/n")),
        ("https://huggingface.co/o/n/tree/v1/a%20b", RepoFolder("o/n", "a b", "v1")),
        ("hf.co/o/n/blob/main/a/adapter_model.safetensors", RepoFolder("o/n", "a")),
        ("hf.co/o/n/blob/main/adapter_model.safetensors?x", RepoFolder("o/n")),
        ("https://huggingface.co/o/n/tree/my%2Fbranch/a", RepoFolder("o/n", "a", "my/branch")),
        ("https://huggingface.co/o/n/tree/refs%2Fpr%2F3", RepoFolder("o/n", "", "refs/pr/3")),
        ("https://huggingface.co/o/n/tree/..%2F..%2Fx", None),
        ("o/n@my%2Fbranch/a%20b", RepoFolder("o/n", "a b", "my/branch")),
        ("o/n/file.gguf", None),
        ("o/n:Q8_0", None),
        ("o/n/../x", None),
        ("./o/n", None),
        ("/o/n/a", None),
        ("base", None),
    ],
)
def test_folders_of_a_repository(model: str, wanted: RepoFolder | None) -> None:
    assert parse_folder(model) == wanted
    if wanted is not None:
        assert parse_folder(str(wanted)) == wanted


SPLIT = ["r-F16-00001-of-00002.gguf", "r-F16-00002-of-00002.gguf"]
FILES = ["README.md", "r-Q4_K_M.gguf", "r-Q8_0.gguf", *SPLIT, "mmproj-r.gguf", "imatrix.gguf"]
FOLDERS = [
    "Q8_0/m-Q8_0-00001-of-00002.gguf",
    "Q8_0/m-Q8_0-00002-of-00002.gguf",
    "BF16/m-00001-of-00001.gguf",
    "UD/m-UD-Q4_K_XL.gguf",
]


@pytest.mark.parametrize(
    ("wanted", "files", "found"),
    [
        (RepoFile("o/r"), FILES, ["r-Q4_K_M.gguf"]),
        (RepoFile("o/r"), ["only-Q2_K.gguf"], ["only-Q2_K.gguf"]),
        (RepoFile("o/r"), SPLIT, SPLIT),
        (RepoFile("o/r", ftype="q8_0"), FILES, ["r-Q8_0.gguf"]),
        (RepoFile("o/r", ftype="Q2_K"), ["Q2_K.gguf", "Q3_K.gguf"], ["Q2_K.gguf"]),
        (RepoFile("o/r", ftype="F16"), FILES, SPLIT),
        (RepoFile("o/r", ftype="F16"), [*FILES, "r-F16.gguf"], ["r-F16.gguf"]),
        (RepoFile("o/r", file=SPLIT[0]), FILES, SPLIT),
        (RepoFile("o/r", file=SPLIT[1]), FILES, SPLIT),
        (RepoFile("o/r", ftype="Q8_0"), FOLDERS, FOLDERS[:2]),
        (RepoFile("o/r", file=FOLDERS[1]), FOLDERS, FOLDERS[:2]),
        (RepoFile("o/r", ftype="BF16"), FOLDERS, FOLDERS[2:3]),
        (RepoFile("o/r", ftype="Q4_K_XL"), FOLDERS, FOLDERS[3:]),
    ],
)
def test_which_files_are_taken(wanted: RepoFile, files: list[str], found: list[str]) -> None:
    assert pick_files(wanted, files) == tuple(found)


@pytest.mark.parametrize(
    ("wanted", "files", "message"),
    [
        (RepoFile("o/r", ftype="Q3_K"), FILES, "no file of type Q3_K. It has: r-F16-00001-of-0000"),
        (RepoFile("o/r", ftype="Q8"), FILES, "no file of type Q8."),
        (RepoFile("o/r", file="x.gguf"), FILES, "o/r has no file x.gguf"),
        (RepoFile("o/r"), ["README.md"], "It has: no GGUF file"),
        (RepoFile("o/r"), ["a-Q8_0.gguf", "a-F16.gguf"], "no single file or Q4_K_M"),
        (RepoFile("o/r", ftype="F16"), ["a-F16.gguf", "b-F16.gguf"], "no single file of type F16"),
        (
            RepoFile("o/r", ftype="F16"),
            SPLIT[:1],
            f"lacks {SPLIT[1]}, one of the 2 shards of {SPLIT[0]}.",
        ),
        (
            RepoFile("o/r", file=SPLIT[1]),
            SPLIT[1:],
            f"lacks {SPLIT[0]}, one of the 2 shards of {SPLIT[0]}.",
        ),
    ],
)
def test_what_cannot_be_chosen(wanted: RepoFile, files: list[str], message: str) -> None:
    with pytest.raises(ModelError, match=message.replace(".", r"\.")):
        pick_files(wanted, files)


def head_of(n_tokens: int) -> bytes:
    """The head of a model with such a vocabulary."""
    tokens = Value([f"token {n}" for n in range(n_tokens)], ValueType.ARRAY, ValueType.STRING)
    keys = {"general.name": Value("r", ValueType.STRING), "tokenizer.ggml.tokens": tokens}
    return pack_header(keys, [TensorInfo("output.weight", (4, 32), 0, 0)])


SMALL, LARGE = head_of(10) + bytes(1_000_000), head_of(40_000) + bytes(2_000_000)
REPO = {
    "r-Q4_K_M.gguf": LARGE,
    "r-Q8_0.gguf": SMALL,
    "r-Q2_K.gguf": b"GGUF" + bytes([3, 0, 0, 0]) + b"\xff" * 1000,
    "r-Q3_K.gguf": b"<html>" * 100_000,
    "lost.gguf": b"GGUF",
    "README.md": b"# r",
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    repos = {"o/r": REPO, "o/private": {"p.gguf": SMALL}, "o/gated": {"g.gguf": SMALL}}
    with serving(repos, monkeypatch, str(tmp_path / "hf")) as handler:
        yield handler


def test_what_a_repository_holds(server: type[Handler]) -> None:
    server.mood.card = {"license": "other", "license_name": "llama3"}
    found = hub.remote("o/r")
    assert found is not None
    assert (found.commit, found.licence, found.private) == (COMMIT, "llama3", False)
    model, page = found.files["r-Q8_0.gguf"], found.files["README.md"]
    assert (model.size, model.sha256) == (len(SMALL), sha256(SMALL).hexdigest())
    assert (page.size, page.sha256, len(page.blob)) == (3, "", 40)
    assert found.digests == {name: file.sha256 or file.blob for name, file in found.files.items()}
    assert hub.remote("o/none") is None


@pytest.mark.parametrize("ranges", [True, False])
def test_the_header_of_a_file_on_the_hub(server: type[Handler], ranges: bool) -> None:
    server.mood.ranges = ranges
    header = hub_file.remote_header("o/r", "r-Q4_K_M.gguf")
    assert len(header.metadata["tokenizer.ggml.tokens"].value) == 40_000
    assert [info.name for info in header.tensors] == ["output.weight"]
    assert len(server.asked) == 2, "256 KiB are too little, 2 MiB are enough"
    assert server.asked[1].endswith("-2097151")
    server.asked.clear()
    assert hub_file.remote_header("o/r", "r-Q8_0.gguf").metadata["general.name"].value == "r"
    assert server.asked == ["0-262143"]


def test_a_server_that_begins_later_than_it_was_asked_to(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are missing between two parts of a header would shift what comes behind them."""
    send = server.send_part

    def skip(self: Handler, content: bytes, headers: Mapping[str, str]) -> None:
        asked = self.headers["Range"].removeprefix("bytes=")
        first, last = (int(number) for number in asked.split("-"))
        self.headers.replace_header("Range", f"bytes={first and first + 1}-{last}")
        send(self, content, headers)

    monkeypatch.setattr(server, "send_part", skip)
    with pytest.raises(ModelError, match=r"sends other bytes of r-Q4_K_M\.gguf than it was asked"):
        hub_file.remote_header("o/r", "r-Q4_K_M.gguf")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("r-Q2_K.gguf", "o/r/r-Q2_K.gguf is damaged: its head"),
        ("r-Q3_K.gguf", "o/r/r-Q3_K.gguf is not a GGUF file."),
        ("r-none.gguf", "o/r has no such file as o/r/r-none.gguf. Check the name."),
    ],
)
def test_a_file_without_a_gguf_header_is_refused(
    server: type[Handler], file: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        hub_file.remote_header("o/r", file)
    assert server.asked in ([], ["0-262143"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "o/none",
            "There is no o/none here, and no repository o/none on the hub that you may read",
        ),
        ("o/none:Q8_0", "There is no o/none:Q8_0 here"),
        ("o/gated", "o/gated is gated: accept its terms on its page, then run `hf auth login`"),
        (
            "o/private",
            "no repository o/private on the hub that you may read. Check the name, or run",
        ),
        ("o/r:Q6_K", "no file of type Q6_K"),
        ("o/r/lost.gguf", "o/r has no such file as o/r/lost.gguf"),
    ],
)
def test_refusals(server: type[Handler], model: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as refused:
        locate(model)
    assert not isinstance(refused.value, UnreachableError)
    assert "\n" not in str(refused.value)


def test_a_wrong_token_is_told_a_right_one_opens_private_files(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(ModelError, match=r"does not know your token. Run `hf auth login`"):
        locate("o/private")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert locate("o/private").read_bytes() == SMALL
    assert server.leaked == [], "the host that stores large files is another one"


def test_the_hub_is_broken(server: type[Handler]) -> None:
    with pytest.raises(
        UnreachableError, match=r"The hub answered 500 for o/broken. Try again later"
    ):
        locate("o/broken")


def test_in_offline_mode_nothing_is_asked(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnreachableError, match="o/r is not in the cache, and the hub is offline"):
        locate("o/r")


def test_without_a_network_the_hub_cannot_be_reached(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    reason = r"Cannot reach the hub for o/r: .*refused.*--demo` needs no network"
    with pytest.raises(UnreachableError, match=reason):
        locate("o/r")
