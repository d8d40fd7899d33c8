"""The verdict is kept for this machine, library and driver, and asked anew for others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from device_results import AMX_DIES, GPU_DIES, PLAIN_WORKS, WORKS
from homeless import CacheFolder

from relay_gguf.doctor import verdict as kept
from relay_gguf.doctor.fingerprint import fingerprint
from relay_gguf.doctor.result import PLAIN_CPU, Verdict


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a child would have been started."""
    calls: list[int] = []

    def ask(**_: object) -> Verdict:
        calls.append(1)
        return Verdict((AMX_DIES, PLAIN_WORKS, GPU_DIES))

    monkeypatch.setattr(kept, "ask", ask)
    path().unlink(missing_ok=True)
    return calls


def path() -> Path:
    found = kept.kept_path()
    assert found is not None
    return found


def fresh() -> Verdict:
    """As a new process would see it."""
    kept.verdict.cache_clear()
    return kept.verdict()


def test_the_verdict_is_asked_once(asked: list[int]) -> None:
    first = fresh()
    assert fresh() == first
    assert first.broken == {"CUDA0"}
    assert asked == [1]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"KEY": 3}', b'{"KEY": {}}', b"\xff\xfe"])
def test_a_damaged_file_is_asked_anew(asked: list[int], damage: bytes) -> None:
    fresh()
    path().write_bytes(damage.replace(b"KEY", fingerprint().encode()))
    assert fresh().processor == PLAIN_CPU
    assert asked == [1, 1]
    fresh()
    assert asked == [1, 1]


@pytest.mark.parametrize(
    "change", ["another machine", "a new library", "a new driver", "a variable"]
)
def test_something_else_is_asked_anew(
    asked: list[int], change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "version"
    driver.write_text("NVRM version: 570", "utf-8")
    library = tmp_path / "llama" / "libllama.so"
    library.parent.mkdir()
    library.write_bytes(b"old")
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(library.parent))
    monkeypatch.setattr("relay_gguf.doctor.fingerprint.DRIVERS", (str(driver),))
    fresh()
    if change == "another machine":
        monkeypatch.setattr("platform.node", lambda: "elsewhere")
    elif change == "a new library":
        library.write_bytes(b"newer")
    elif change == "a new driver":
        driver.write_text("NVRM version: 580", "utf-8")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    fresh()
    assert asked == [1, 1]


def test_a_home_folder_that_serves_two_machines_keeps_both(
    asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "one", "two"):
        monkeypatch.setattr("platform.node", lambda name=name: name)
        fresh()
    assert asked == [1, 1]


def test_a_folder_that_cannot_be_written_is_no_error(asked: list[int], tmp_path: Path) -> None:
    folder = path().parent
    folder.rename(tmp_path / "away")
    folder.write_bytes(b"")  # a file in the folder's place
    assert fresh().processor == PLAIN_CPU


@pytest.mark.parametrize(
    "found", [RuntimeError("no home"), OSError("no home"), Path("~/.cache/relay-gguf")]
)
def test_a_user_without_a_home_is_asked_each_time(
    asked: list[int], found: Exception | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_gguf.folders.DIRS", CacheFolder(found))
    for _ in range(2):
        assert fresh().processor == PLAIN_CPU
    assert asked == [1, 1]


def test_what_may_be_otherwise_next_time_is_not_kept(asked: list[int]) -> None:
    for found in (
        Verdict(trouble="a library is missing"),
        Verdict(fatal="it died of SIGILL while loading its library"),
        Verdict((replace(WORKS, outcome="silent", detail=" at loading of Q8_0"),)),
        Verdict((replace(GPU_DIES, outcome="silent", detail="SIGKILL at loading of Q8_0"),)),
    ):
        kept.keep(path(), "key", found)
        assert kept.looked_up(path(), "key") is None


def test_it_can_be_left_out(asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_SELFTEST", "0")
    assert fresh() == Verdict()
    assert asked == []
