"""Files are read back from the disk, and what was not checked is not claimed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conversions import converted
from kills import before_the_second_name, killed
from stopped_runs import TYPES, report_of

from relay_gguf.convert import run as running
from relay_gguf.convert.job import prepare
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import ConvertedFiles, Progress, run
from relay_gguf.convert.write import verify as verification
from relay_gguf.convert.write.output import Output
from relay_gguf.errors import ConversionError


def test_files_are_not_read_back_without_verification(
    wanted: Request, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*args: Any, **options: Any) -> None:
        raise AssertionError("nothing should be verified")

    monkeypatch.setattr(running, "verify", unexpected)
    events = list(run(prepare(replace(wanted, verify=False)), tmp_path))
    assert {event.stage for event in events if isinstance(event, Progress)} == {"resume", "convert"}
    for ftype in TYPES:
        name = f"pico-relay-{ftype}.gguf"
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
        assert report_of(tmp_path, ftype)["verified"] is None


def test_a_report_does_not_claim_a_verification_that_was_left_out(
    wanted: Request, tmp_path: Path
) -> None:
    killed(replace(wanted, verify=False), tmp_path, before_the_second_name)
    verified: list[str] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        verify = verification.verify

        def spy(outputs: Any, *args: Any, **options: Any) -> Any:
            verified.append(outputs[0].file.name)
            return verify(outputs, *args, **options)

        monkeypatch.setattr(running, "verify", spy)
        converted(wanted, tmp_path)
    reports = [report_of(tmp_path, ftype) for ftype in TYPES]
    claimed = [report["files"][0]["name"] for report in reports if report["verified"]]
    assert claimed == verified


def harm_after_writing(change: Callable[[Output, bytearray], None]) -> Callable[[Output], str]:
    original = Output.finish

    def finish(self: Output) -> str:
        digest = original(self)
        data = bytearray(self.partial.read_bytes())
        change(self, data)
        self.partial.write_bytes(data)
        return digest

    return finish


def a_bit_of_a_tensor(output: Output, data: bytearray) -> None:
    data[output.file.layout.slots[4].offset + 9] ^= 1


def a_bit_of_the_head(output: Output, data: bytearray) -> None:
    data[100] ^= 1


def an_infinite_scale(output: Output, data: bytearray) -> None:
    for slot in output.file.layout.slots:
        if slot.kind.name == "Q8_0":
            data[slot.offset : slot.offset + 2] = b"\x00\x7c"


def a_last_byte(output: Output, data: bytearray) -> None:
    del data[-1]


def zeros(output: Output, data: bytearray) -> None:
    data[-4096:] = bytes(4096)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (a_bit_of_a_tensor, "is not what was written"),
        (a_bit_of_the_head, "is not what was written"),
        (an_infinite_scale, "does not hold Q8_0 values"),
        (a_last_byte, "partial"),
        (zeros, "is not what was written"),
    ],
)
def test_a_disk_that_gives_other_bytes_back_is_found(
    change: Callable[[Output, bytearray], None],
    says: str,
    wanted: Request,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Output, "finish", harm_after_writing(change))
    out = tmp_path / "out"
    with pytest.raises(ConversionError, match=says):
        converted(wanted, out)
    assert not out.exists()


def test_files_are_read_back_side_by_side(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_back, all_of_them = running.read_back, threading.Barrier(len(TYPES), timeout=60)

    def together(*args: Any, **options: Any) -> Iterator[int]:
        all_of_them.wait()
        return (yield from read_back(*args, **options))

    monkeypatch.setattr(running, "read_back", together)
    events = list(run(prepare(wanted), tmp_path, n_threads=len(TYPES)))
    assert [event.ftype for event in events if isinstance(event, ConvertedFiles)] == list(TYPES)


def test_no_thread_reads_on_after_a_stop(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*args: Any, **options: Any) -> Iterator[int]:
        while True:
            yield 1

    monkeypatch.setattr(running, "read_back", endless)
    running_ = run(prepare(wanted), tmp_path, n_threads=len(TYPES))
    for event in running_:
        if isinstance(event, Progress) and event.stage == "verify":
            break
    running_.close()
    assert not any(thread.name.startswith("eager") for thread in threading.enumerate())


def test_progress_grows_to_the_end_of_each_stage(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    events = list(run(prepare(wanted), tmp_path, n_threads=2))
    sizes: Mapping[str, int] = {p.name: p.stat().st_size for p in whole.glob("*.gguf")}
    progress = [event for event in events if isinstance(event, Progress)]
    assert [event.ftype for event in events if isinstance(event, ConvertedFiles)] == list(TYPES)
    encoding = [event for event in progress if event.stage == "convert"]
    assert {event.total for event in encoding} == {sum(sizes.values())}
    shares = [event.done for event in encoding]
    assert shares == sorted(shares)
    assert shares[-1] == sum(sizes.values())
    for ftype in TYPES:
        reading = [event for event in progress if (event.stage, event.what) == ("verify", ftype)]
        assert reading[-1].done <= reading[-1].total == sizes[f"pico-relay-{ftype}.gguf"]
