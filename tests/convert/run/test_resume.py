"""A conversion that was killed or stopped is resumed, and damaged tensors are made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conversions import JOURNAL, Pair, converted, digests, journal, request
from stopped_runs import PATIENCE, start, stopped, wait_for
from thorough import cases

from relay_gguf.convert.job import ConversionJob
from relay_gguf.convert.request import Request
from relay_gguf.disk import EARLIER_PARTIAL, PARTIAL
from relay_gguf.gguf_file.header import read_header


@pytest.mark.thorough
def test_a_killed_conversion_is_resumed(real: Pair, real_files: Path, tmp_path: Path) -> None:
    process = start(real, tmp_path, "--quant", "Q8_0", "--json")
    wait_for(process, tmp_path, 100)
    process.kill()
    process.communicate()
    name = "relay-smollm2-135m-Q8_0.gguf"
    assert {path.name for path in tmp_path.iterdir()} == {JOURNAL, f"{name}{PARTIAL}"}
    done = len(journal(tmp_path)) - 1

    process = start(real, tmp_path, "--quant", "Q8_0", "--json")
    printed, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    events = [json.loads(line) for line in printed.splitlines()]
    first = next(event for event in events if event.get("stage") == "convert")
    order = [info.name for info in read_header(real_files / name).tensors]
    assert first["what"] == order[done]
    assert digests(tmp_path)[name] == digests(real_files)[name]


def test_a_conversion_that_was_stopped_is_resumed(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    stopped(wanted, tmp_path, 7)
    assert not list(tmp_path.glob("*.gguf"))
    assert not list(tmp_path.glob("*.json"))
    converted(wanted, tmp_path)
    assert digests(tmp_path) == digests(whole)


def test_a_conversion_that_an_earlier_release_began_is_resumed(
    wanted: Request, whole: Path, tmp_path: Path, opened: list[str]
) -> None:
    """Unfinished files of the converter had another ending then."""
    job = stopped(wanted, tmp_path, 7)
    for path in tmp_path.glob(f"*{PARTIAL}"):
        path.rename(path.with_name(path.name.removesuffix(PARTIAL) + EARLIER_PARTIAL))
    opened.clear()
    converted(wanted, tmp_path)
    assert opened == [tensor.name for tensor in job.tensors[7:]]
    assert digests(tmp_path) == digests(whole)


def test_restart_discards_the_files_of_an_earlier_release_too(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    stopped(wanted, tmp_path, 7)
    for path in tmp_path.glob(f"*{PARTIAL}"):
        path.rename(path.with_name(path.name.removesuffix(PARTIAL) + EARLIER_PARTIAL))
    converted(wanted, tmp_path, restart=True)
    assert digests(tmp_path) == digests(whole)


Harm = Callable[[Path, ConversionJob], None]
"""Something that happens to what a killed conversion left."""


def flipped(tensor: int | None) -> Harm:
    """A letter of the head is another, or a byte of a finished tensor."""

    def harm(out: Path, job: ConversionJob) -> None:
        file = job.targets[1].files[0]
        path = out / f"{file.name}{PARTIAL}"
        data = bytearray(path.read_bytes())
        at = data.index(b"Pico-Mistral")
        data[at if tensor is None else file.layout.slots[tensor].offset + 5] ^= 1
        path.write_bytes(data)

    return harm


def cut(tensor: int | None) -> Harm:
    """The file ends within a finished tensor, or within the head."""

    def harm(out: Path, job: ConversionJob) -> None:
        file = job.targets[1].files[0]
        at = 100 if tensor is None else file.layout.slots[tensor].offset + 5
        os.truncate(out / f"{file.name}{PARTIAL}", at)

    return harm


def lost(out: Path, job: ConversionJob) -> None:
    (out / f"{job.targets[1].files[0].name}{PARTIAL}").unlink()


def grown(out: Path, job: ConversionJob) -> None:
    with (out / f"{job.targets[1].files[0].name}{PARTIAL}").open("ab") as file:
        file.write(b"half a slab")


def journal_with(end: bytes) -> Harm:
    def harm(out: Path, job: ConversionJob) -> None:
        with (out / JOURNAL).open("ab") as file:
            file.write(end)

    return harm


def shorter_journal(out: Path, job: ConversionJob) -> None:
    *lines, last = (out / JOURNAL).read_bytes().splitlines(keepends=True)
    (out / JOURNAL).write_bytes(b"".join(lines) + last[:20])


def no_journal(out: Path, job: ConversionJob) -> None:
    (out / JOURNAL).write_bytes(b"\0\0\0\0")


HARMS: list[tuple[Harm, int]] = [
    (flipped(3), 3),
    (flipped(6), 6),
    (flipped(None), 0),
    (cut(4), 4),
    (cut(None), 0),
    (lost, 0),
    (grown, 7),
    (journal_with(b'{"tensor": "blk.1.'), 7),
    (journal_with(b"\0\0\0\0\0\n"), 7),
    (shorter_journal, 6),
    (no_journal, 0),
]


@pytest.mark.parametrize(
    ("harm", "begins_at"),
    cases(HARMS, *HARMS[:1]),
    ids=[
        *("a flipped bit", "a late flipped bit", "a flipped bit in the head", "a cut"),
        *("a cut head", "a lost file", "a tail", "a torn line", "zeros", "a lost line"),
        "a lost journal",
    ],
)
def test_damaged_tensors_are_made_again(
    harm: Harm,
    begins_at: int,
    wanted: Request,
    whole: Path,
    tmp_path: Path,
    opened: list[str],
) -> None:
    job = stopped(wanted, tmp_path, 7)
    harm(tmp_path, job)
    opened.clear()
    converted(wanted, tmp_path)
    assert opened[0] == job.tensors[begins_at].name
    assert digests(tmp_path) == digests(whole)


def test_files_may_be_written_beside_their_source(
    pico_mistral: Pair, tmp_path: Path, opened: list[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(pico_mistral.base, folder)
    wanted = request(folder, "Q8_0")
    job = stopped(wanted, folder, 7)
    opened.clear()
    converted(wanted, folder)
    assert opened[0] == job.tensors[7].name
