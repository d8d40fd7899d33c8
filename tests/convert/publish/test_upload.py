"""What an upload sends, what is on the hub already, and which folders are not sent."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1, sha256
from pathlib import Path

import pytest
from published_folders import readme
from tiny_gguf import tensors, write
from uploads import NAMES, Sender, states

from relay_gguf import __version__
from relay_gguf.convert.publish.upload import plan_lines, plan_upload, upload
from relay_gguf.errors import ConversionError

LEFT_OUT = (".git", ".relay-gguf-convert.journal", "sub", "x.gguf.partial", "y.relay-gguf-partial")


def test_everything_is_sent(ready: Path) -> None:
    plan, send = plan_upload(ready, "o/r"), Sender()
    assert states(plan) == dict.fromkeys(NAMES, "new")
    assert plan.left_out == LEFT_OUT
    assert upload(plan, send, private=True) == "https://hub/o/r/commit/1"
    assert list(send.sent) == NAMES
    n_bytes = sum((ready / name).stat().st_size for name in NAMES)
    assert plan.size == n_bytes
    message = f"8 files, {-(-n_bytes // 1000)} KB, by relay-gguf {__version__}"
    assert send.said == ("o/r", True, message)


def git_blob(data: bytes) -> str:
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def test_files_on_the_hub_are_not_sent_again(ready: Path) -> None:
    data = {name: (ready / name).read_bytes() for name in NAMES}
    there = {
        "tiny-Q8_0.gguf": sha256(data["tiny-Q8_0.gguf"]).hexdigest(),
        "tiny-Q4_K_M.gguf": sha256(b"other").hexdigest(),
        "LICENSE": git_blob(data["LICENSE"]),
        "README.md": git_blob(b"other"),
        "removed.gguf": "00" * 32,
    }
    plan, send = plan_upload(ready, "o/r", there), Sender()
    assert states(plan) == dict.fromkeys(NAMES, "new") | {
        "tiny-Q8_0.gguf": "there",
        "tiny-Q4_K_M.gguf": "changed",
        "LICENSE": "there",
        "README.md": "changed",
    }
    upload(plan, send)
    assert set(send.sent) == set(NAMES) - {"tiny-Q8_0.gguf", "LICENSE"}
    everything = {name: sha256(content).hexdigest() for name, content in data.items()}
    plan, send = plan_upload(ready, "o/r", everything), Sender()
    assert upload(plan, send) == ""
    assert send.said is None


def test_the_page_gets_the_name_of_the_repository(ready: Path) -> None:
    before = readme(ready)
    plan, send = plan_upload(ready, "o/other"), Sender()
    assert readme(ready) == before, "a plan writes nothing"
    assert [item.size for item in plan.items if item.name == "README.md"] == [len(plan.page or b"")]
    upload(plan, send)
    assert readme(ready) == before.replace("o/r", "o/other")
    assert send.sent["README.md"] == (ready / "README.md").read_bytes()


def test_a_page_of_someone_else_is_sent_as_it_is(ready: Path) -> None:
    (ready / "README.md").write_text("mine")
    plan, send = plan_upload(ready, "o/other"), Sender()
    upload(plan, send)
    assert send.sent["README.md"] == b"mine"


def damage(out: Path) -> None:
    data = bytearray((out / "tiny-Q8_0.gguf").read_bytes())
    data[-9] ^= 1
    (out / "tiny-Q8_0.gguf").write_bytes(data)


def unlisted(out: Path) -> None:
    write(out / "more.gguf", infos=tensors())


def lost(out: Path) -> None:
    (out / "tiny-Q8_0.gguf").unlink()


def no_sums(out: Path) -> None:
    (out / "SHA256SUMS").unlink()


def no_page(out: Path) -> None:
    (out / "README.md").unlink()


def no_models(out: Path) -> None:
    for path in out.glob("*.gguf"):
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage, r"tiny-Q8_0\.gguf differs from its checksum in SHA256SUMS: damaged, or changed"),
        (unlisted, r"SHA256SUMS does not have more\.gguf\. `relay-gguf card .*` writes both anew"),
        (lost, r"SHA256SUMS lists tiny-Q8_0\.gguf, which is not there\. `relay-gguf card"),
        (no_sums, r"SHA256SUMS does not have tiny-Q4_K_M\.gguf, tiny-Q8_0\.gguf\. `relay-gguf"),
        (no_page, r"has no README\.md or no SHA256SUMS\. `relay-gguf card .*` writes both anew"),
        (no_models, r"has no GGUF file\. Give the --out of a conversion\."),
    ],
)
def test_a_folder_that_differs_from_its_checksums_is_not_sent(
    harm: Callable[[Path], None], message: str, ready: Path
) -> None:
    harm(ready)
    with pytest.raises(ConversionError, match=message):
        plan_upload(ready, "o/r")


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"There is no folder .*none\."):
        plan_upload(tmp_path / "none", "o/r")


def test_every_byte_is_read_once(ready: Path) -> None:
    read: list[int] = []
    plan = plan_upload(ready, "o/r", None, read.append)
    assert sum(read) == plan.size


def test_a_plan_lists_the_files_and_their_states(ready: Path) -> None:
    plan = plan_upload(ready, "o/r", {"LICENSE": git_blob(b"terms"), "SHA256SUMS": "x"})
    lines = list(plan_lines(plan, compared=True))
    assert [line.split()[0] for line in lines[:-1]] == [item.state for item in plan.items]
    assert lines[2] == "there        1 KB  LICENSE"
    assert lines[4] == "changed      1 KB  SHA256SUMS"
    assert lines[-1] == "Left out: .git, .relay-gguf-convert.journal, sub and 2 more"
    lines = list(plan_lines(plan, compared=False))
    assert lines[0] == "The hub cannot be asked which of these files it has."
    assert lines[3] == "             1 KB  LICENSE"
