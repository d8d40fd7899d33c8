"""A conversion that is ready to run: all is opened, planned and checked, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Metadata, Value, ValueType
from relay_gguf.gguf_file.name import shard_paths

from .arch.llama import MAX_CONTEXT
from .arch.weights import Tensor
from .budget.allocation import Allocation, Watch, allocate
from .model import Model, open_model
from .quantize.ftypes import FTYPES
from .quantize.imatrix import Imatrix, read_imatrix, unmade
from .read.hub_folder import extents
from .read.source import ASKED_BASES, identity
from .request import TYPE, Request
from .write.importance import notes_on
from .write.targets import QuantTarget, plan_chosen, plan_standards, plan_targets, sizing
from .write.verify import check_vocabulary

LONGEST_NAME: Final = 200
"""Bytes of a file's name: file systems take 255, and it is longer while the file is written."""


@dataclass(frozen=True, slots=True)
class ConversionJob:
    """A planned conversion: its model, and the files of each type.

    `tensors` are in the order of the files. `allocation` is how the types of the file with a target
    size were chosen; None without one.
    """

    request: Request
    model: Model
    targets: tuple[QuantTarget, ...]
    tensors: tuple[Tensor, ...]
    imatrix: Imatrix | None
    allocation: Allocation | None = None

    def allocation_of(self, target: QuantTarget) -> Allocation | None:
        """How the types of a target were chosen; None where llama.cpp chose them."""
        found = self.allocation
        return found if found is not None and found.label == target.ftype else None

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(target.size for target in self.targets)

    @property
    def to_fetch(self) -> int:
        """Bytes that are read from the hub while it runs, and not stored."""
        return sum(extent.size for extent in extents(self.model.weights.stored(self.tensors)))

    @property
    def in_words(self) -> str:
        """The model and its types, for messages."""
        return f"{self.model.label} to {', '.join(target.ftype for target in self.targets)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user: of the model, and of the files."""
        about = () if self.imatrix is None else notes_on(self.imatrix, _by_name(self.tensors))
        return (*self.model.notes, *about, *(note for t in self.targets for note in t.notes))


def prepare(
    request: Request,
    *,
    weights: bool = True,
    n_threads: int | None = None,
    watch: Watch = lambda done, total: None,
    notice: Callable[[str], None] = lambda text: None,
    without_imatrix: tuple[str, Sequence[str]] | None = None,
) -> ConversionJob:
    """Open, check and plan a conversion.

    Args:
        request: base, adapter and files.
        weights: False reads no weights of a repository, unless a target size needs them; then the
            job can be shown, not run.
        n_threads: number of threads that measure for a target size; None for one for each core.
        watch: is told how many tensors are measured for it.
        notice: is told when the hub does not answer.
        without_imatrix: name and texts of an importance matrix that will be made; the job can be
            shown, not run.

    Raises:
        ConversionError: the request is wrong, a file cannot be read, or base and adapter do not
            fit together.
        ModelError: a GGUF file does not exist or is damaged, or the hub does not have the model or
            cannot be reached.
        SettingsError: a pre-tokenizer is named for a GGUF file that has another one.
    """
    _check(request)
    weights = weights or request.size_target is not None
    model = open_model(request, weights=weights, notice=notice)
    imatrix = None if request.imatrix is None else read_imatrix(request.imatrix)
    if without_imatrix is not None:
        shapes = {tensor.name: tensor.shape for tensor in model.weights.tensors}
        imatrix = unmade(*without_imatrix, shapes)
    metadata = model.metadata if imatrix is None else _with_imatrix(model.metadata, imatrix)
    pattern = request.pattern(model.label)
    targets = []
    if request.ftypes:
        targets = plan_targets(
            metadata,
            model.weights.tensors,
            {ftype: pattern.replace(TYPE, ftype) for ftype in request.ftypes},
            importance=None if imatrix is None else imatrix.weights,
            max_bytes=request.max_bytes,
            overrides=request.overrides,
        )
    allocation = None
    if request.size_target is not None:
        allocation = _allocated(request, model, metadata, imatrix, n_threads, watch)
        chosen = plan_chosen(
            metadata,
            model.weights.tensors,
            allocation.standard,
            allocation.label,
            allocation.types,
            name=pattern.replace(TYPE, allocation.label),
            max_bytes=request.max_bytes,
        )
        targets.append(chosen)
    by_name = _by_name(model.weights.tensors)
    if request.verify:
        matched = model.vocabulary.matched if model.vocabulary else {}
        check_vocabulary(metadata, model.probes, matched)
    return ConversionJob(
        request=request,
        model=model,
        targets=tuple(targets),
        tensors=tuple(by_name[name] for name in targets[0].types),
        imatrix=imatrix,
        allocation=allocation,
    )


def _allocated(
    request: Request,
    model: Model,
    metadata: Metadata,
    imatrix: Imatrix | None,
    n_threads: int | None,
    watch: Watch,
) -> Allocation:
    """The types for the size that is asked for."""
    assert request.size_target is not None
    tensors = model.weights.tensors
    importance = None if imatrix is None else imatrix.weights
    standards, fixed = plan_standards(
        metadata, tensors, importance=importance, overrides=request.overrides
    )
    return allocate(
        model.weights,
        tensors,
        request.size_target,
        standards,
        sizing(metadata, tensors, request.max_bytes),
        importance=importance,
        fixed=fixed,
        n_threads=n_threads,
        watch=watch,
    )


def job_identity(job: ConversionJob) -> str:
    """A digest that tells conversions apart: of the files read, and of the headers written."""
    request = job.request
    files = [file for target in job.targets for file in target.files]
    fetching = job.model.fetching
    parts = [
        identity(*job.model.paths),
        [[file.name, sha256(file.layout.header).hexdigest()] for file in files],
        [request.merge_base, request.allow_nonfinite],
        None if request.imatrix is None else identity(request.imatrix),
        *([] if fetching is None else [[f.name, f.size, f.commit] for f in fetching.files]),
    ]
    return sha256(json.dumps(parts).encode()).hexdigest()


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in tensors}


def _check(request: Request) -> None:
    unknown = [ftype for ftype in request.ftypes if ftype not in FTYPES]
    if unknown:
        raise ConversionError(
            f"There is no type {', '.join(unknown)}. The types are: {', '.join(FTYPES)}."
        )
    if not request.ftypes and request.size_target is None:
        raise ConversionError(
            "No type is asked for. Give --quant TYPE, --preset NAME or --target-size SIZE."
        )
    if not 0 < (request.context_length or 1) < MAX_CONTEXT:
        raise ConversionError(f"A context of {request.context_length} tokens is too long.")
    if len(set(request.ftypes)) < len(request.ftypes):
        raise ConversionError(f"A type is asked for twice: {', '.join(request.ftypes)}.")
    if request.merge_base not in ASKED_BASES:
        raise ConversionError(
            f"There is no merge base {request.merge_base}. There are: {', '.join(ASKED_BASES)}."
        )
    if request.merge_base not in ("auto", "original") and request.adapter is None:
        raise ConversionError("--merge-base is for merging an adapter: give --adapter.")
    if request.pre == "":
        raise ConversionError("--pre is empty. Leave it out, or give llama.cpp's name.")
    if (pattern := request.name) is not None:
        named = Path(pattern).name == pattern and pattern.isprintable()
        if not named or not pattern.endswith(".gguf"):
            raise ConversionError(f"{pattern!r} is not a file name that ends in .gguf.")
        if len(pattern.encode()) > LONGEST_NAME:
            raise ConversionError(f"--name is too long: it may have {LONGEST_NAME} bytes.")
        if len(shard_paths(Path(pattern))) > 1:
            raise ConversionError(
                f"{pattern!r} is the name of a part of a split model; --split-max-size makes these."
            )
        if TYPE not in pattern and len(request.ftypes) + (request.size_target is not None) > 1:
            raise ConversionError(f"{pattern!r} has no {TYPE}, and there are several types.")


def _with_imatrix(metadata: Metadata, imatrix: Imatrix) -> Metadata:
    """The metadata with llama.cpp's notes of an imatrix."""
    text, number = ValueType.STRING, ValueType.UINT32
    added = {
        "quantize.imatrix.file": Value(imatrix.file, text),
        "quantize.imatrix.dataset": Value(", ".join(imatrix.datasets), text),
        "quantize.imatrix.entries_count": Value(len(imatrix.weights), number),
        "quantize.imatrix.chunks_count": Value(imatrix.chunks, number),
    }
    return dict(metadata) | {name: value for name, value in added.items() if value.value}
