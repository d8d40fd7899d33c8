"""Runs a planned conversion: in one pass, verified, and resumable after a kill.

A file gets its name when it is whole and verified.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from relay_gguf.disk import make_folders, remove_empty, write_whole
from relay_gguf.errors import ConversionError
from relay_gguf.hub.intake import Fetched

from .job import ConversionJob, job_identity
from .output_folder import RoomError, check_folder, check_room, readable_errors
from .quantize.ggml import Type
from .read.hub_folder import extents
from .report import REPORT, make_report
from .write.eager import Eager
from .write.encode import TensorStats, encode_all
from .write.journal import Journal
from .write.output import Output
from .write.verify import read_back, verify


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a stage, in bytes of the files; `what` is the tensor or the file type."""

    stage: str  # "resume", "convert" or "verify"; of the demo model "wait" and "open" too
    done: int
    total: int
    what: str = ""
    fetched: Fetched | None = None  # from the hub, where the base is read there


@dataclass(frozen=True, slots=True)
class ConvertedFiles:
    """The files of a type have their names; `report` is the content of their report."""

    ftype: str
    paths: tuple[Path, ...]
    report: Mapping[str, Any]


ConversionEvent = Progress | ConvertedFiles


def run(
    job: ConversionJob,
    out: Path,
    *,
    n_threads: int | None = None,
    force: bool = False,
    restart: bool = False,
    last: Callable[[], object] = lambda: None,
) -> Generator[ConversionEvent]:
    """Convert; yields progress, and the files of each type as they are done.

    Closing the generator stops the conversion; the same call resumes it later.

    Args:
        job: from `prepare`.
        out: the folder of the files, which is made if it does not exist.
        n_threads: number of threads that encode; None takes one for each core.
        force: replace existing files, once the new ones are whole.
        restart: discard the files of an interrupted conversion.
        last: is called when all files have their names, and called again by the same command if it
            was interrupted or failed: it describes the folder.

    Raises:
        ConversionError: the disk has not enough room or fails, a file exists already, or a value
            cannot be encoded. Unfinished files are removed then.
    """
    made: list[Path] = []
    try:
        with readable_errors(out):
            check_folder(out)
            made += make_folders(out)
            journal = Journal(out)
        try:
            with readable_errors(out):
                conversion = _Conversion(job, out, journal)
                conversion.claim(force=force, restart=restart)
                yield from conversion.run(n_threads or os.cpu_count() or 1)
            last()
            with readable_errors(out):
                journal.remove()
        finally:
            journal.close()
    except ConversionError:
        remove_empty(made)
        raise


def check(job: ConversionJob, out: Path, *, force: bool = False, restart: bool = False) -> None:
    """Check a conversion as `run` does before it writes; writes nothing, makes no folder.

    Args:
        job: from `prepare`; its weights need not be downloaded.
        out: the folder of the files.
        force: replace existing files.
        restart: discard the files of an interrupted conversion.

    Raises:
        ConversionError: the disk has not enough room, or a file exists already.
    """
    with readable_errors(out):
        check_folder(out)
        journal = Journal(out, read_only=True)
        try:
            _Conversion(job, out, journal).check(force=force, restart=restart)
        finally:
            journal.close()


class _Conversion:
    """The outputs of a job, and their progress."""

    def __init__(self, job: ConversionJob, out: Path, journal: Journal) -> None:
        self.job = job
        self.out = out
        self.journal = journal
        self.outputs = {t.ftype: [Output(out, file) for file in t.files] for t in job.targets}
        self.all = [output for outputs in self.outputs.values() for output in outputs]
        self.stats: dict[str, TensorStats] = {}

    def check(self, *, force: bool, restart: bool) -> bool:
        """Whether an unfinished conversion can be resumed; if not, that nothing is in the way.

        Raises:
            ConversionError: a file exists already, or another conversion is unfinished here.
            RoomError: the disk has not enough room.
        """
        journal, run = self.journal, job_identity(self.job)
        if journal.run == run and not restart:
            return True
        if journal.run is not None and not restart:
            raise ConversionError(
                f"{self.out} has an unfinished conversion ({journal.what}). Run that command again "
                "to finish it, give --restart to discard it, or another --out."
            )
        ours = {self.out / name for name in journal.published} if journal.run == run else set()
        taken = [o.final for o in self.all if o.final.exists() and o.final not in ours]
        taken += [self._report_path(f) for f in self.outputs if self._report_path(f).exists()]
        if taken and not (force or ours):
            raise ConversionError(f"{taken[0]} exists. --force replaces it.")
        discarded = sum(path.stat().st_size for path in journal.partials() if path.exists())
        check_room(self.out, self.job.size, discarded)
        return False

    def claim(self, *, force: bool, restart: bool) -> None:
        """Take the folder for this conversion, or resume it there."""
        journal = self.journal
        try:
            if self.check(force=force, restart=restart):
                journal.adopt_partials()
                return
        except ConversionError:
            if journal.run is None:
                journal.remove()
            raise
        journal.remove_partials()
        try:
            journal.begin(
                job_identity(self.job),
                self.job.in_words,
                [output.file.name for output in self.all],
            )
        except OSError:
            journal.remove()
            raise

    def run(self, n_threads: int) -> Iterator[ConversionEvent]:
        """Convert, verify, publish."""
        try:
            done = yield from self._resume()
            yield from self._encode(done, n_threads)
            yield from self._publish_all(n_threads)
        except RoomError:
            raise  # files that are done already stay
        except (ConversionError, OSError):
            for output in self.all:
                output.discard()
            self.journal.remove()
            raise
        finally:
            for output in self.all:
                output.close()

    def _resume(self) -> Generator[ConversionEvent, None, int]:
        """Open the outputs behind the tensors that are done already; how many these are."""
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
        if done < n_tensors:
            done = 0 if self.journal.published else done
            self.journal.keep(done)
        for output in self._unpublished():
            slots = output.file.layout.slots
            output.resume(sum(position[slot.tensor.name] < done for slot in slots))
        for line in lines[:done]:
            self.stats[line["tensor"]] = TensorStats.from_json(line["stats"])
        check_room(self.out, sum(o.file.layout.size - o.position for o in self._unpublished()))
        return done

    def _unpublished(self) -> list[Output]:
        return [output for output in self.all if output.file.name not in self.journal.published]

    def _encode(self, done: int, n_threads: int) -> Iterator[ConversionEvent]:
        """The one pass over the weights."""
        job = self.job
        tensors = job.tensors[done:]
        if not tensors:
            return
        kinds = {t.name: list({u.types[t.name]: 0 for u in job.targets}) for t in tensors}
        takers: dict[str, list[tuple[Type, Output]]] = {}
        for output in self.all:
            for slot in output.file.layout.slots:
                takers.setdefault(slot.tensor.name, []).append((slot.kind, output))
        fetching, stored = job.model.fetching, job.model.weights.stored(tensors)
        encoding = encode_all(
            job.model.weights,
            tensors,
            kinds,
            n_threads=n_threads,
            importance=None if job.imatrix is None else job.imatrix.weights,
            allow_nonfinite=job.request.allow_nonfinite,
            ahead=None if fetching is None else fetching.ahead(extents(stored)),
        )
        with closing(encoding):
            for encoded in encoding:
                name = encoded.tensor.name
                self.stats.setdefault(name, TensorStats()).add(encoded.stats)
                for kind, output in takers[name]:
                    output.write(encoded.data[kind])
                if encoded.last:
                    marks = {o.file.name: o.end_tensor() for _, o in takers[name]}
                    stats = self.stats[name].as_json()
                    self.journal.add({"tensor": name, "marks": marks, "stats": stats})
                fetched = None if fetching is None else fetching.intake.fetched
                done = sum(output.position for output in self.all)
                yield Progress("convert", done, job.size, name, fetched)

    def _publish_all(self, n_threads: int) -> Iterator[ConversionEvent]:
        """Publish the files of each type in turn; those of the others are read back meanwhile."""
        nonfinite = self.job.request.allow_nonfinite
        with Eager(n_threads) as eager:
            digests = {ftype: self._finish(outputs) for ftype, outputs in self.outputs.items()}
            readings = {}
            for ftype in filter(self._is_unverified, self.outputs):
                files = zip(self.outputs[ftype], digests[ftype], strict=True)
                reads = (read_back(*file, allow_nonfinite=nonfinite) for file in files)
                readings[ftype] = list(map(eager.start, reads))
            for ftype in self.outputs:
                yield from self._publish(ftype, digests[ftype], readings.get(ftype))

    def _finish(self, outputs: Sequence[Output]) -> list[str]:
        published = self.journal.published
        return [published.get(output.file.name) or output.finish() for output in outputs]

    def _is_unverified(self, ftype: str) -> bool:
        """Whether its files have to be verified: they were not, and none has its name yet."""
        begun = any(o.file.name in self.journal.published for o in self.outputs[ftype])
        return self.job.request.verify and not (self.journal.checked.get(ftype) or begun)

    def _publish(
        self, ftype: str, digests: Sequence[str], readings: Sequence[Iterator[int]] | None
    ) -> Iterator[ConversionEvent]:
        """Verify the files of a type, write their report, give them their names."""
        target = next(target for target in self.job.targets if target.ftype == ftype)
        outputs, published = self.outputs[ftype], self.journal.published
        if readings is not None:
            for done in accumulate(verify(outputs, readings, self.job.model.probes)):
                yield Progress("verify", done, target.size, ftype)
        verified = readings is not None or self.journal.checked.get(ftype, False)
        report = make_report(self.job, target, self.stats, digests, verified=verified)
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        write_whole(self._report_path(ftype), text.encode())
        self.journal.add({"checked": ftype, "proved": verified})
        for output, digest in zip(outputs, digests, strict=True):
            if (name := output.file.name) not in published:
                output.publish()
                self.journal.add({"published": name, "sha256": digest})
        yield ConvertedFiles(ftype, tuple(output.final for output in outputs), report)

    def _report_path(self, ftype: str) -> Path:
        name = re.sub(r"(-00001-of-\d{5})?\.gguf$", "", self.outputs[ftype][0].file.name)
        return self.out / (name + REPORT)
