"""What an argument asks of the hub, and which files of a repository that means."""

from __future__ import annotations

import pytest

from relay_gguf.errors import ModelError
from relay_gguf.hub.repo import RepoFile, RepoFolder, parse_folder, parse_repo, pick_files


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
