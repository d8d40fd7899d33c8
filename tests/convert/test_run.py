"""A conversion's life: killed, resumed, refused, stopped, out of room; and what it says it did."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conversions import COMMAND, JOURNAL, Pair, converted, digests, journal, request
from gguf import GGUFReader
from gguf.quants import dequantize
from hf_models import PICO, write_adapter, write_mistral
from safetensors.numpy import load_file

from relay_gguf import disk
from relay_gguf.cli.app import main
from relay_gguf.convert import run as running
from relay_gguf.convert.arch.weights import ModelWeights, Tensor
from relay_gguf.convert.job import ConversionJob, prepare
from relay_gguf.convert.publish import folder
from relay_gguf.convert.publish.folder import WrittenFolder
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import ConvertedFiles, Progress, check, run
from relay_gguf.convert.write import verify as verification
from relay_gguf.convert.write.journal import Journal
from relay_gguf.convert.write.output import Output
from relay_gguf.disk import EARLIER_PARTIAL, PARTIAL
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import read_header

TYPES = ("Q8_0", "Q4_K_M", "Q2_K")
PATIENCE = 300.0


@pytest.fixture(scope="module")
def wanted(pico_mistral: Pair) -> Request:
    return request(pico_mistral.base, *TYPES, adapter=pico_mistral.adapter)


@pytest.fixture(scope="module")
def whole(wanted: Request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted conversion makes."""
    out = tmp_path_factory.mktemp("whole")
    converted(wanted, out)
    return out


class KilledError(BaseException):
    """Stands for a kill: nobody catches it."""


def stopped(wanted: Request, out: Path, n_tensors: int, **options: Any) -> ConversionJob:
    """Convert, and close the generator when some tensors are done."""
    job = prepare(wanted)
    events: Any = run(job, out, n_threads=1, **options)
    for event in events:
        if isinstance(event, Progress) and len(journal(out)) > n_tensors:
            break
    events.close()
    assert len(journal(out)) == n_tensors + 1
    return job


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tensors that are read, in order."""
    names: list[str] = []
    original = ModelWeights.open

    def spy(self: ModelWeights, tensor: Tensor) -> Any:
        names.append(tensor.name)
        return original(self, tensor)

    monkeypatch.setattr(ModelWeights, "open", spy)
    return names


# Killed


def start(pair: Pair, out: Path, *options: str) -> subprocess.Popen[str]:
    arguments = [pair.base, "--adapter", pair.adapter, "--out", out, *options]
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def wait_for(process: subprocess.Popen[str], out: Path, n_tensors: int) -> None:
    """Wait until some tensors are done."""
    end = time.monotonic() + PATIENCE
    while len(journal(out)) <= n_tensors:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


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


@pytest.mark.parametrize(
    ("harm", "begins_at"),
    [
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
    ],
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


Kill = Callable[[pytest.MonkeyPatch], None]


def before_the_second_name(monkeypatch: pytest.MonkeyPatch) -> None:
    original, count = Output.publish, 0

    def publish(self: Output) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KilledError
        original(self)

    monkeypatch.setattr(Output, "publish", publish)


def after_the_first_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the journal knows of it."""
    original = Output.publish

    def publish(self: Output) -> None:
        original(self)
        raise KilledError

    monkeypatch.setattr(Output, "publish", publish)


def at_the_very_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(self: Journal) -> None:
        raise KilledError

    monkeypatch.setattr(Journal, "remove", remove)


def killed(wanted: Request, out: Path, kill: Kill) -> list[str]:
    """Convert until the kill; the files that have their names then."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch)
        with pytest.raises(KilledError):
            converted(wanted, out)
    return sorted(path.name for path in out.glob("*.gguf"))


KILLS = {before_the_second_name: 1, after_the_first_name: 1, at_the_very_end: 3}


@pytest.mark.parametrize(("kill", "n_named"), KILLS.items())
def test_a_kill_while_files_get_their_names_loses_nothing(
    kill: Kill,
    n_named: int,
    wanted: Request,
    whole: Path,
    tmp_path: Path,
    opened: list[str],
) -> None:
    assert len(killed(wanted, tmp_path, kill)) == n_named
    opened.clear()
    files = converted(wanted, tmp_path)
    assert opened == []
    assert digests(tmp_path) == digests(whole)
    assert list(files) == list(TYPES)


def test_a_kill_before_the_card_is_made_up_for_by_the_same_command(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    given = ["convert", wanted.base, "--pre", "smollm", "-q", "Q8_0", "-o", str(out), "--quiet"]
    card = folder.write_folder
    with monkeypatch.context() as patch:

        def kill(*_: object) -> None:
            raise KilledError

        patch.setattr(folder, "write_folder", kill)
        with pytest.raises(KilledError):
            main(given)
    (file,) = out.glob("*.gguf")
    before = file.stat()
    with monkeypatch.context() as patch:

        def fail(*given: Any) -> WrittenFolder:
            card(*given)
            raise ConversionError("README.md cannot be written.")

        patch.setattr(folder, "write_folder", fail)
        with pytest.raises(SystemExit) as exit_:
            main(given)
    assert exit_.value.code == 1
    with pytest.raises(SystemExit) as exit_:
        main(given)
    assert exit_.value.code == 0
    names = {path.name for path in out.iterdir()}
    assert {"README.md", "SHA256SUMS"} < names
    assert JOURNAL not in names
    assert file.stat().st_mtime_ns == before.st_mtime_ns, "the file itself was whole"
    assert file.stat().st_ino == before.st_ino


@pytest.mark.parametrize("kill", KILLS)
def test_a_finished_file_that_was_taken_away_is_made_again(
    kill: Kill, wanted: Request, whole: Path, tmp_path: Path
) -> None:
    first, *_ = killed(wanted, tmp_path, kill)
    (tmp_path / first).unlink()
    converted(wanted, tmp_path)
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


# Refused


def test_another_conversion_in_the_same_folder_is_refused(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    stopped(wanted, tmp_path, 3)
    before = digests(tmp_path)
    other = replace(wanted, ftypes=("F16",))
    with pytest.raises(ConversionError, match=r"an unfinished conversion \(pico-relay to Q8_0, Q4"):
        converted(other, tmp_path)
    assert digests(tmp_path) == before
    converted(other, tmp_path, restart=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"pico-relay-F16.gguf", "pico-relay-F16.report.json"}


def test_restart_discards_an_unfinished_conversion(
    wanted: Request, whole: Path, tmp_path: Path, opened: list[str]
) -> None:
    job = stopped(wanted, tmp_path, 3)
    opened.clear()
    converted(wanted, tmp_path, restart=True)
    assert opened[0] == job.tensors[0].name
    assert digests(tmp_path) == digests(whole)


def test_a_changed_source_is_another_conversion(
    pico_mistral: Pair, wanted: Request, tmp_path: Path
) -> None:
    adapter, out = tmp_path / "pico-relay", tmp_path / "out"
    shutil.copytree(pico_mistral.adapter, adapter)
    copied = replace(wanted, adapter=str(adapter))
    stopped(copied, out, 3)
    write_adapter(adapter, pico_mistral.base, grow=["<|im_start|>", "<|im_end|>"], seed=2)
    with pytest.raises(ConversionError, match="an unfinished conversion"):
        converted(copied, out)


def test_existing_files_are_replaced_by_force_alone(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "pico-relay-Q4_K_M.gguf"
    taken.write_text("mine")
    with pytest.raises(ConversionError) as error:
        converted(wanted, tmp_path)
    assert str(error.value) == f"{taken} exists. --force replaces it."
    assert digests(tmp_path) == {taken.name: sha256(b"mine").hexdigest()}
    stopped(wanted, tmp_path, 7, force=True)
    assert taken.read_text() == "mine"
    converted(wanted, tmp_path, force=True)
    assert digests(tmp_path) == digests(whole)
    with pytest.raises(ConversionError, match=r"exists\. --force replaces it"):
        converted(wanted, tmp_path)
    assert digests(tmp_path) == digests(whole)


def refusals(wanted: Request, out: Path) -> set[str]:
    """What a conversion says, and its check before it; neither changes anything."""
    job, before, said = prepare(wanted), digests(out) if out.is_dir() else None, set()
    starts: tuple[Callable[[], object], ...] = (
        lambda: check(job, out),
        lambda: list(run(job, out)),
    )
    for start in starts:
        with pytest.raises(ConversionError) as error:
            start()
        said.add(str(error.value))
        assert (digests(out) if out.is_dir() else None) == before
    return said


def test_the_check_refuses_what_the_run_refuses(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    check(prepare(wanted), out)
    assert not out.exists()
    with monkeypatch.context() as patch:
        free(patch, lambda: 1_000_000)
        (said,) = refusals(wanted, out)
        assert said.startswith("The files take ")
    out.write_text("mine")
    assert refusals(wanted, out) == {f"Cannot write {out}: it is not a folder."}
    out.unlink()
    for name in ("pico-relay-Q2_K.gguf", "pico-relay-Q8_0.report.json"):
        out.mkdir()
        (out / name).write_text("mine")
        assert refusals(wanted, out) == {f"{out / name} exists. --force replaces it."}
        check(prepare(wanted), out, force=True)
        assert [path.name for path in out.iterdir()] == [name]
        shutil.rmtree(out)
    job = stopped(wanted, out, 3)
    with (out / JOURNAL).open("ab") as file:
        file.write(b'{"cut')
    before = digests(out)
    check(job, out)
    check(prepare(replace(wanted, ftypes=("F16",))), out, restart=True)
    assert digests(out) == before
    converted(wanted, out, restart=True)


def test_a_second_conversion_into_a_folder_is_refused(wanted: Request, tmp_path: Path) -> None:
    events = run(prepare(wanted), tmp_path, n_threads=1)
    next(events)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ConversionError, match="Another relay-gguf converts into"):
        converted(wanted, tmp_path)
    with pytest.raises(ConversionError, match="Another relay-gguf converts into"):
        check(prepare(wanted), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert [event.ftype for event in events if isinstance(event, ConvertedFiles)] == list(TYPES)


# Stopped


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals like these")
@pytest.mark.parametrize(
    ("options", "n_tensors"),
    [
        (["--quant", "Q8_0", "--quant", "Q4_K_M"], 20),
        (["--quant", "Q4_K_M", "--merge-base", "nf4-double"], 5),
        (["--preset", "all"], 2),
    ],
)
def test_ctrl_c_stops_and_the_same_command_resumes(
    options: list[str], n_tensors: int, real: Pair, tmp_path: Path
) -> None:
    process = start(real, tmp_path, *options)
    wait_for(process, tmp_path, n_tensors)
    process.send_signal(signal.SIGINT)
    n_then = len(journal(tmp_path))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors == "Stopped. The same command resumes here; with --restart it begins anew.\n"
    assert not list(tmp_path.glob("*.gguf"))
    assert n_tensors < len(journal(tmp_path)) <= n_then + 20, "of 272 tensors: it stops at once"


def test_ctrl_c_is_not_lost_while_llama_cpp_plans(
    wanted: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two lines of its log, where Python runs, and no exception passes through C."""
    log, sent = logging.getLogger("relay_gguf.llama.cpp"), False

    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            nonlocal sent
            if not sent:
                sent = True
                signal.raise_signal(signal.SIGINT)

    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    monkeypatch.setattr(log, "level", logging.DEBUG)
    monkeypatch.setattr(log, "handlers", [Interrupting()])
    with pytest.raises(KeyboardInterrupt):
        prepare(wanted)
    assert sent
    assert unraisable == []


# Out of room


def free(monkeypatch: pytest.MonkeyPatch, measure: Callable[[], int]) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=measure()))


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


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits like these")
@pytest.mark.parametrize("limit", [100, 6000, 300_000])
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


# The report


def report_of(out: Path, ftype: str) -> dict[str, Any]:
    (path,) = out.glob(f"*-{ftype}.report.json")
    report: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return report


def test_the_report_tells_files_origin_and_checks(
    pico_mistral: Pair, wanted: Request, whole: Path, tmp_path: Path
) -> None:
    reports = {ftype: report_of(whole, ftype) for ftype in TYPES}
    for ftype, report in reports.items():
        path = whole / f"pico-relay-{ftype}.gguf"
        content = path.read_bytes()
        assert report["files"] == [
            {"name": path.name, "bytes": len(content), "sha256": sha256(content).hexdigest()}
        ]
        assert report["type"] == ftype
        weights = (pico_mistral.adapter / "adapter_model.safetensors").read_bytes()
        assert report["origin"] == {
            "source": "Pico-Mistral",
            "adapter": "pico-relay",
            "adapter_sha256": sha256(weights).hexdigest(),
            "merge_base": "original",
            "merge_reason": "nothing in the adapter's folder tells of training in 4 bits",
        }
        assert report["verified"]["texts_tokenized_alike"] >= 5
    errors = [reports[ftype]["error"] for ftype in TYPES]
    assert 0 < errors[0] < 0.01 < errors[1] < 0.1 < errors[2] < 0.4


def values_of(path: Path) -> dict[str, Any]:
    """What a file's tensors stand for."""
    return {
        tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in GGUFReader(path).tensors
    }


def test_errors_in_the_report_are_those_of_the_file(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    ((path,),) = converted(replace(wanted, ftypes=("F32",)), tmp_path).values()
    exact = values_of(path)
    for ftype in TYPES:
        report, stored = report_of(whole, ftype), values_of(whole / f"pico-relay-{ftype}.gguf")
        squares, all_squares = 0.0, 0.0
        for tensor in report["tensors"]:
            name = tensor["name"]
            difference = stored[name].reshape(-1) - exact[name].reshape(-1)
            squares += (difference**2).sum()
            all_squares += (exact[name] ** 2).sum()
            expected = np.sqrt((difference**2).sum() / (exact[name] ** 2).sum())
            assert tensor["error"] == pytest.approx(expected, rel=1e-4, abs=1e-7), name
            assert tensor["largest_error"] == pytest.approx(np.abs(difference).max(), rel=1e-4)
        assert report["error"] == pytest.approx(np.sqrt(squares / all_squares), rel=1e-4)


def test_the_report_has_the_norms_of_the_merge(plain: Path, tmp_path: Path) -> None:
    base = write_mistral(tmp_path / "base", plain, PICO, dtype="F32")
    adapter = write_adapter(tmp_path / "lora", base, modules=("self_attn.q_proj", "mlp.up_proj"))
    weights = load_file(base / "model.safetensors")
    lora = load_file(adapter / "adapter_model.safetensors")
    norms = {}
    for kind, module in {"attn_q": "self_attn.q_proj", "ffn_up": "mlp.up_proj"}.items():
        moved, before = 0.0, 0.0
        for layer in range(PICO.layers):
            name = f"model.layers.{layer}.{module}"
            a, b = (lora[f"base_model.model.{name}.lora_{x}.weight"].astype(float) for x in "AB")
            moved += ((16 / 8 * b @ a) ** 2).sum()
            before += (weights[f"{name}.weight"].astype(float) ** 2).sum()
        norms[kind] = {
            "tensors": PICO.layers,
            "moved": pytest.approx((moved / before) ** 0.5, 1e-4),
        }
    converted(request(base, "Q8_0", adapter=adapter), tmp_path / "out")
    assert report_of(tmp_path / "out", "Q8_0")["merge"] == norms


# Verification


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
    slot = next(slot for slot in output.file.layout.slots if slot.kind.name == "Q8_0")
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
