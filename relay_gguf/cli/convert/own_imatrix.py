"""`convert --imatrix auto`: an importance matrix made on the way, between two passes.

The first pass writes the files that need none, a Q8_0 among them, with which the model reads the
text; the second pass writes the others with the matrix. What a stopped run has done is kept in a
hidden folder beside the files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import typer

from relay_gguf.calibration.calibrate import calibrate
from relay_gguf.calibration.calibration_text import OURS, our_texts
from relay_gguf.convert.job import ConversionJob, job_identity, prepare
from relay_gguf.convert.publish.folder import write_folder
from relay_gguf.convert.request import TYPE, Request
from relay_gguf.convert.run import check, run
from relay_gguf.disk import make_folders, write_whole
from relay_gguf.display import one_line, size
from relay_gguf.errors import ConversionError, MemoryShortError
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.llama.activations.activation_reader import ActivationReader
from relay_gguf.llama.first_read.first_read import readable_model
from relay_gguf.llama.inventory import this_machine
from relay_gguf.settings import usual_settings

from .imatrix import calibration_lines, shown
from .screen import ConversionScreen

READERS: Final = ("Q8_0", "F16", "BF16", "F32")
"""File types that no matrix changes, and with which a model can read; the best comes first."""
N_CTX: Final = 512
WORK: Final = ".relay-gguf-imatrix"
"""The hidden folder of a run: a Q8_0 that nobody asked for, and what is done."""
DONE: Final = "done.json"


@dataclass(frozen=True, slots=True)
class OwnImatrix:
    """A conversion in two passes.

    Attributes:
        plan: all of its files, planned as with a matrix; it is not run.
        first: the request of the first pass; None where the base is a file that can read the text.
        first_out: its folder.
        second: the request of the second pass, with the matrix.
        reader: the model that reads the text.
        matrix: the file of the matrix.
        work: the hidden folder.
    """

    plan: ConversionJob
    first: Request | None
    first_out: Path
    second: Request
    reader: Path
    matrix: Path
    work: Path

    def lines(self) -> Iterator[str]:
        """How the matrix is made, for a person."""
        yield (
            f"{self.matrix}: an importance matrix, made before the types that it serves. "
            f"{self.reader.name} reads scenes of IRC and general text for it (memory: about "
            f"{size(self._memory)})."
        )
        if self.second.size_target is not None:
            yield f"{self.second.size_target.in_words}: types are chosen when the matrix is there."

    def make(
        self,
        show: ConversionScreen,
        *,
        n_threads: int | None,
        force: bool,
        restart: bool,
        quiet: bool,
    ) -> dict[str, Path]:
        """Run the first pass and make the matrix, but for what a stopped run has done.

        Returns:
            File type → file, of the first pass where its files were asked for.

        Raises:
            ConversionError: as `run`; or a file is in the way.
            MemoryShortError: the model that reads the text does not fit into memory.
            CalibrationError, EngineError: as `calibrate`.
        """
        self._check_memory()
        if restart:
            shutil.rmtree(self.work, ignore_errors=True)
        if not self.work.exists():
            check(self.plan, self.matrix.parent, force=force, restart=restart)
            if self.matrix.exists() and not force:
                raise ConversionError(f"{self.matrix} exists. --force replaces it.")
        make_folders(self.work)
        job = None if self.first is None else prepare(self.first, notice=show.notice)
        identity = "base" if job is None else job_identity(job)
        if self._done() != identity:
            self.matrix.unlink(missing_ok=True)
            if job is not None:
                events = run(
                    job,
                    self.first_out,
                    n_threads=n_threads,
                    force=force or self._is_hidden,
                    restart=restart,
                    last=lambda: self._end_first(identity),
                )
                show.run(events, self.first_out)
            self._note(identity)
        if not self.matrix.exists():
            self._read(n_threads, restart=restart, quiet=quiet)
        if job is None or self._is_hidden:
            return {}
        return {target.ftype: self.first_out / target.files[0].name for target in job.targets}

    def clean_up(self) -> None:
        """Remove the hidden folder: all is done."""
        shutil.rmtree(self.work, ignore_errors=True)

    @property
    def _is_hidden(self) -> bool:
        """Whether nobody asked for the files of the first pass."""
        return self.first_out == self.work

    def _end_first(self, identity: str) -> None:
        if not self._is_hidden:
            write_folder(self.first_out)
        self._note(identity)

    def _read(self, n_threads: int | None, *, restart: bool, quiet: bool) -> None:
        settings = usual_settings({"threads": n_threads})
        model = readable_model(self.reader)
        options = replace(settings.load, workers=())
        with ActivationReader(self.reader, N_CTX, options, n_threads=settings.threads) as reader:
            running = calibrate(reader, model, our_texts(), self.matrix, restart=restart)
            made = shown(running, quiet=quiet)
        if not quiet:
            for line in calibration_lines(made, self.matrix):
                typer.echo(one_line(line), err=True)

    def _done(self) -> str | None:
        """The identity of the first pass that a stopped run has finished; None if none has."""
        try:
            found = json.loads((self.work / DONE).read_text("utf-8"))["first"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return str(found) if self.reader.exists() else None

    def _note(self, identity: str) -> None:
        write_whole(self.work / DONE, json.dumps({"first": identity}).encode())

    @property
    def _memory(self) -> int:
        """Bytes of the model that reads, about, and of its logits."""
        tokens = self.plan.model.metadata.get("tokenizer.ggml.tokens")
        logits = 8 * N_CTX * (0 if tokens is None else len(tokens.value))
        if self.first is None:
            return read_gguf(self.reader).size + logits
        bits = 8.5 if self.reader.stem.endswith(READERS[0]) else 16.0
        return int(sum(tensor.size for tensor in self.plan.tensors) * bits / 8) + logits

    def _check_memory(self) -> None:
        """Refuse, before the first pass, a model that will not fit into memory to read the text."""
        machine = this_machine(timed=False)
        free = machine.available + sum(gpu.free for gpu in machine.gpus)
        if 0 < free < self._memory:
            raise MemoryShortError(
                f"--imatrix auto reads text with {self.reader.name}, which needs about "
                f"{size(self._memory)} of memory, and {size(free)} are free. Make the matrix on a "
                "larger machine (`relay-gguf imatrix`) and give it as --imatrix FILE, or leave it "
                "out."
            )


def own_imatrix(request: Request, out: Path) -> OwnImatrix:
    """The two passes of a request.

    Args:
        request: with no imatrix.
        out: the folder of the files.

    Raises:
        ConversionError: no type that is asked for uses a matrix; or as `prepare`.
    """
    later = tuple(ftype for ftype in request.ftypes if ftype not in READERS)
    if not later and request.size_target is None:
        raise ConversionError(
            "--imatrix auto is for types that an importance matrix makes better: ask for one, as "
            "-q Q4_K_M."
        )
    if request.name is not None and TYPE not in request.name:
        raise ConversionError(f"{request.name!r} has no {TYPE}, by which the matrix is named.")
    asked = [ftype for ftype in READERS if ftype in request.ftypes]
    is_file = request.base.endswith(".gguf") and request.adapter is None
    plain = replace(request, size_target=None)
    planned = replace(plain, ftypes=request.ftypes or READERS[:1])
    plan = prepare(planned, weights=False, without_imatrix=("imatrix", tuple(OURS.values())))
    pattern = request.pattern(plan.model.label)
    matrix = out / pattern.replace(TYPE, "imatrix")
    work, first, first_out = out / WORK, None, out
    if asked:
        first = replace(plain, ftypes=tuple(f for f in request.ftypes if f in READERS))
    elif not is_file:
        first, first_out = replace(plain, ftypes=READERS[:1], verify=False), work
    reader = Path(request.base).expanduser()
    if first is not None:
        name = pattern.replace(TYPE, asked[0] if asked else READERS[0])
        reader = first_out / name
    second = replace(request, ftypes=later, imatrix=matrix)
    return OwnImatrix(plan, first, first_out, second, reader, matrix, work)
