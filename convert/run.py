"""Running a planned conversion: one pass, checked, resumable, nothing half-made under its name."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from relay_gguf.disk import make_folders, remove_empty, write_whole
from relay_gguf.errors import ConversionError

from .job import Job
from .quantize.ggml import Type
from .read.source import identity
from .report import REPORT, make_report
from .write.encode import Stats, encode_all
from .write.journal import Journal
from .write.output import Output
from .write.verify import prove


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is, in bytes of the files."""

    stage: str  # "resume", "convert" or "verify"
    done: int
    total: int
    what: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A type's files are there, under their names."""

    ftype: str
    paths: tuple[Path, ...]
    report: Mapping[str, Any]


Event = Progress | Finished


def run(
    job: Job,
    out: Path,
    *,
    n_threads: int | None = None,
    force: bool = False,
    restart: bool = False,
) -> Generator[Event]:
    """Convert. Closing the generator stops; the same call goes on later.

    Args:
        job: from `prepare`.
        out: folder of the files; made if need be.
        n_threads: that encode; None is one for each core.
        force: replace files that are there, once the new ones are whole.
        restart: discard what an interrupted conversion left.

    Raises:
        ConversionError: there is no room, a file is in the way, a value cannot be encoded, the
            disk fails. Nothing is left behind then.
    """
    made: list[Path] = []
    try:
        with _readable_errors(out):
            _check_folder(out)
            made += make_folders(out)
            journal = Journal(out)
        try:
            with _readable_errors(out):
                conversion = _Conversion(job, out, journal)
                conversion.claim(force=force, restart=restart)
                yield from conversion.run(n_threads or os.cpu_count() or 1)
        finally:
            journal.close()
    except ConversionError:
        remove_empty(made)
        raise


def check(job: Job, out: Path, *, force: bool = False, restart: bool = False) -> None:
    """Refuse what `run` would refuse before it writes; writes nothing, makes no folder.

    Args:
        job: from `prepare`; its weights need not be there.
        out: as for `run`, as are the others.
        force: replace files that are there.
        restart: discard what an interrupted conversion left.

    Raises:
        ConversionError: there is no room, or a file is in the way.
    """
    with _readable_errors(out):
        _check_folder(out)
        journal = Journal(out, read_only=True)
        try:
            _Conversion(job, out, journal).check(force=force, restart=restart)
        finally:
            journal.close()


def run_identity(job: Job) -> str:
    """What tells conversions apart: the files that are read, the heads that are written."""
    request = job.request
    files = [file for target in job.targets for file in target.files]
    parts = [
        identity(*job.model.paths),
        [[file.name, sha256(file.layout.head).hexdigest()] for file in files],
        [request.merge_base, request.allow_nonfinite],
        None if request.imatrix is None else identity(request.imatrix),
    ]
    return sha256(json.dumps(parts).encode()).hexdigest()


class _RoomError(ConversionError):
    """The disk has not enough room."""


class _Conversion:
    """The outputs of a job, and how far they are."""

    def __init__(self, job: Job, out: Path, journal: Journal) -> None:
        self.job = job
        self.out = out
        self.journal = journal
        self.outputs = {t.ftype: [Output(out, file) for file in t.files] for t in job.targets}
        self.all = [output for outputs in self.outputs.values() for output in outputs]
        self.stats: dict[str, Stats] = {}

    def check(self, *, force: bool, restart: bool) -> bool:
        """See to it that nothing is in the way; whether an unfinished conversion goes on."""
        journal, run = self.journal, run_identity(self.job)
        if journal.run == run and not restart:
            return True
        if journal.run is not None and not restart:
            raise ConversionError(
                f"{self.out} has an unfinished conversion ({journal.what}). Run that command again "
                "to finish it, take --restart to discard it, or another --out."
            )
        ours = {self.out / name for name in journal.published} if journal.run == run else set()
        taken = [o.final for o in self.all if o.final.exists() and o.final not in ours]
        taken += [self._report_path(f) for f in self.outputs if self._report_path(f).exists()]
        if taken and not (force or ours):
            raise ConversionError(f"{taken[0]} exists. --force replaces it.")
        discarded = sum(path.stat().st_size for path in journal.partials() if path.exists())
        _need_room(self.out, self.job.size, discarded)
        return False

    def claim(self, *, force: bool, restart: bool) -> None:
        """See to it that the folder is ours to write into."""
        journal = self.journal
        try:
            if self.check(force=force, restart=restart):
                return
        except ConversionError:
            if journal.run is None:
                journal.remove()
            raise
        journal.remove_partials()
        try:
            journal.begin(
                run_identity(self.job),
                _in_words(self.job),
                [output.file.name for output in self.all],
            )
        except OSError:
            journal.remove()
            raise

    def run(self, n_threads: int) -> Iterator[Event]:
        """Convert, check, publish."""
        try:
            done = yield from self._resume()
            yield from self._encode(done, n_threads)
            for ftype in self.outputs:
                yield from self._publish(ftype)
        except _RoomError:
            raise  # what is done already stays
        except (ConversionError, OSError):
            for output in self.all:
                output.discard()
            self.journal.remove()
            raise
        finally:
            for output in self.all:
                output.close()
        self.journal.remove()

    def _resume(self) -> Generator[Event, None, int]:
        """Take up what is there; how many tensors are done."""
        n_tensors = len(self.job.tensors)
        lines = self.journal.tensors
        done = len(lines)
        if any(o.file.name in self.journal.published and not o.is_there() for o in self.all):
            done = 0
        position = {tensor.name: index for index, tensor in enumerate(self.job.tensors)}
        yield Progress("resume", 0, self.job.size)
        for output in self.all:
            name = output.file.name
            if name in self.journal.published:
                continue
            marks = [line["marks"][name] for line in lines if name in line["marks"]]
            if len(lines) == n_tensors and output.is_published(marks[-1]):
                self.journal.add({"published": name, "sha256": marks[-1]})
                continue
            slots = output.file.layout.slots
            intact = output.intact(marks)
            if intact < len(slots):
                done = min(done, position[slots[intact].tensor.name])
        if done < n_tensors and self.journal.published:
            done = 0
        if done < n_tensors:
            self.journal.keep(done)
        for output in self._unpublished():
            slots = output.file.layout.slots
            output.resume(sum(position[slot.tensor.name] < done for slot in slots))
        for line in lines[:done]:
            self.stats[line["tensor"]] = Stats.from_json(line["stats"])
        if done:
            _need_room(self.out, sum(o.file.layout.size - o.position for o in self._unpublished()))
        return done

    def _unpublished(self) -> list[Output]:
        return [output for output in self.all if output.file.name not in self.journal.published]

    def _encode(self, done: int, n_threads: int) -> Iterator[Event]:
        """The one pass over the weights."""
        job = self.job
        tensors = job.tensors[done:]
        if not tensors:
            return
        kinds = {t.name: _unique(target.types[t.name] for target in job.targets) for t in tensors}
        takers: dict[str, list[tuple[Type, Output]]] = {}
        for target in job.targets:
            for output in self.outputs[target.ftype]:
                for slot in output.file.layout.slots:
                    takers.setdefault(slot.tensor.name, []).append((slot.kind, output))
        encoding = encode_all(
            job.model.weights,
            tensors,
            kinds,
            n_threads=n_threads,
            importance=None if job.imatrix is None else job.imatrix.weights,
            allow_nonfinite=job.request.allow_nonfinite,
        )
        with closing(encoding):
            for encoded in encoding:
                name = encoded.tensor.name
                self.stats.setdefault(name, Stats()).add(encoded.stats)
                for kind, output in takers[name]:
                    output.write(encoded.data[kind])
                if encoded.last:
                    marks = {o.file.name: o.end_tensor() for _, o in takers[name]}
                    stats = self.stats[name].as_json()
                    self.journal.add({"tensor": name, "marks": marks, "stats": stats})
                yield Progress("convert", sum(o.position for o in self.all), job.size, name)

    def _publish(self, ftype: str) -> Iterator[Event]:
        """Check the files of a type, write their report, give them their names."""
        target = next(target for target in self.job.targets if target.ftype == ftype)
        outputs, published = self.outputs[ftype], self.journal.published
        digests = [published.get(output.file.name) or output.finish() for output in outputs]
        proved = self.journal.checked.get(ftype, False)
        begun = any(output.file.name in published for output in outputs)
        if self.job.request.verify and not (proved or begun):
            checked = 0
            nonfinite = self.job.request.allow_nonfinite
            proof = prove(outputs, digests, self.job.model.probes, allow_nonfinite=nonfinite)
            for count in proof:
                checked += count
                yield Progress("verify", checked, target.size, ftype)
            proved = True
        report = make_report(self.job, target, self.stats, digests, verified=proved)
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        write_whole(self._report_path(ftype), text.encode())
        self.journal.add({"checked": ftype, "proved": proved})
        for output, digest in zip(outputs, digests, strict=True):
            if output.file.name not in published:
                output.publish()
                self.journal.add({"published": output.file.name, "sha256": digest})
        yield Finished(ftype, tuple(output.final for output in outputs), report)

    def _report_path(self, ftype: str) -> Path:
        name = re.sub(r"(-00001-of-\d{5})?\.gguf$", "", self.outputs[ftype][0].file.name)
        return self.out / (name + REPORT)


def _unique(kinds: Iterable[Type]) -> list[Type]:
    return list(dict.fromkeys(kinds))


def _check_folder(out: Path) -> None:
    """See to it that a folder is there, or can be made."""
    there = _there(out)
    if not there.is_dir():
        which = "it" if there == out else there
        raise ConversionError(f"Cannot write {out}: {which} is no folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConversionError(f"Cannot write {out}: {os.strerror(errno.EACCES)}.")


def _there(path: Path) -> Path:
    """A path, or the innermost folder over it that is there."""
    return next(found for found in (path, *path.parents) if os.path.lexists(found))


def _need_room(folder: Path, size: int, discarded: int = 0) -> None:
    free = shutil.disk_usage(_there(folder)).free + discarded
    if size > free:
        raise _RoomError(
            f"The files take {size:,} bytes, {folder} has {free:,} free: "
            f"{size - free:,} are lacking. Take another --out, or fewer types."
        )


def _in_words(job: Job) -> str:
    types = ", ".join(target.ftype for target in job.targets)
    return f"{job.model.label} to {types}"


@contextmanager
def _readable_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or out
        if error.errno == errno.ENOSPC:
            raise ConversionError(
                f"The disk of {out} is full. Make room, and convert again."
            ) from error
        raise ConversionError(f"Cannot write {where}: {error.strerror or error}.") from error
