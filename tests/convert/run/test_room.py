"""A conversion that runs out of room, or cannot write: refused before, or nothing half made."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conversions import Pair, converted, digests
from stopped_runs import PATIENCE, TYPES, free, stopped
from thorough import cases

from relay_gguf import disk
from relay_gguf.convert.job import prepare
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import Progress, run
from relay_gguf.convert.write.output import Output
from relay_gguf.disk import PARTIAL
from relay_gguf.errors import ConversionError


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_is_too_full_is_refused_before(
    there: bool, wanted: Request, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a" / "b"
    if there:
        out.mkdir(parents=True)
    free(monkeypatch, lambda: 1_000_000)
    size = sum(path.stat().st_size for path in whole.glob("*.gguf"))
    with pytest.raises(ConversionError) as error:
        converted(wanted, out)
    assert str(error.value).startswith(f"The files take {size:,} bytes, {out} has 1,000,000 free: ")
    assert list(tmp_path.rglob("*")) == ([out.parent, out] if there else [])


def test_a_resumed_conversion_needs_room_for_the_rest_alone(
    wanted: Request, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(path.stat().st_size for path in whole.glob("*.gguf"))
    stopped(wanted, tmp_path, 15)
    done = sum(path.stat().st_size for path in tmp_path.glob(f"*{PARTIAL}"))
    free(monkeypatch, lambda: size - done + 1000)
    converted(wanted, tmp_path)
    assert digests(tmp_path) == digests(whole)


def test_a_conversion_that_had_hardly_begun_needs_room_too(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(wanted, tmp_path, 0)
    free(monkeypatch, lambda: 1_000_000)
    with pytest.raises(ConversionError, match=r"^The files take [\d,]+ bytes, .* are lacking"):
        converted(wanted, tmp_path)


def test_discarded_files_count_as_room(
    wanted: Request, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(path.stat().st_size for path in whole.glob("*.gguf"))
    stopped(wanted, tmp_path, 15)

    def left() -> int:
        return size + 10_000 - sum(path.stat().st_size for path in tmp_path.iterdir())

    free(monkeypatch, left)
    converted(wanted, tmp_path, restart=True)
    assert digests(tmp_path) == digests(whole)


def test_a_disk_that_fills_up_keeps_nothing_half_made(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", Output.write

    def full(self: Output, data: Any) -> None:
        if self.position > 200_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, data)

    monkeypatch.setattr(Output, "write", full)
    with pytest.raises(ConversionError, match=f"The disk of {out} is full"):
        converted(wanted, out)
    assert not out.exists()


def test_a_stop_on_a_full_disk_is_a_stop(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not on the disk yet counts as not done: that it cannot be written is no news."""
    events: Any = run(prepare(wanted), tmp_path, n_threads=1)
    begin, closed = Output.begin, list[Output]()

    def begun(self: Output) -> None:
        begin(self)
        assert self._open is not None
        self._open.close()

        def full() -> None:
            closed.append(self)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        file: Any = SimpleNamespace(close=full, write=lambda data: None, flush=lambda: None)
        self._open = file

    monkeypatch.setattr(Output, "begin", begun)
    while not isinstance(event := next(events), Progress) or event.stage != "convert":
        pass
    events.close()
    assert len(closed) == len(TYPES), "all of them, whatever the first one said"


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits like these")
@pytest.mark.parametrize("limit", cases([100, 6000, 300_000], 6000))
def test_a_limit_on_the_size_of_files_is_told(
    limit: int, pico_mistral: Pair, tmp_path: Path
) -> None:
    given = [pico_mistral.base, "--pre", "smollm", "--no-verify", "--quant", "Q8_0"]
    code = (
        "import resource, sys\n"
        "from relay_gguf.cli.app import main\n"
        "from relay_gguf.convert import run\n"
        "def limited(*args, original=run.run, **options):\n"
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "    return original(*args, **options)\n"
        "run.run = limited; main(sys.argv[1:])"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", code, "convert", *map(str, given), "--out", str(out)],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("relay-gguf: Cannot write ")
    assert done.stderr.endswith("File too large.\n")
    assert not out.exists()


def test_a_report_that_does_not_fit_leaves_nothing_behind(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "write_new", full)
    out = tmp_path / "out"
    with pytest.raises(ConversionError, match=f"The disk of {out} is full"):
        converted(wanted, out)
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_named(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, *args: Any, **options: Any) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    job = prepare(wanted)
    out = tmp_path / "out"
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConversionError, match=f"Cannot write into {out}: Permission denied"):
        list(run(job, out))
    assert not out.exists()
