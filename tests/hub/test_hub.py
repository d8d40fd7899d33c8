"""What the hub says, by a server that speaks its protocol."""

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
from relay_gguf.models.locate import locate


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
