"""The whole comparison: a base, files and a text in; figures by group, files in pairs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from relay_gguf.errors import QualityError
from relay_gguf.llama.isolated.vocab_only import VocabOnly

from .base_logits import BaseLogits, read_base_logits
from .chunks import plain_chunks, scene_chunks, spoken_by_model
from .figures import LEAST_POSITIONS, Estimate, Figures, figures, paired
from .measure import Computing, score, write_base
from .model_file import ModelFile, refuse_others
from .scenes import held_out_scenes, is_scenes, read_scenes, read_text
from .workspace import workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL: Final = "all"
SPOKEN: Final = "user"
REST: Final = "rest"
FAR: Final = 3.0
"""Nats of divergence that no quantization has: the logits may be those of another model."""
N_POSITIONS: Final = 2000
"""Positions that are compared unless the user says otherwise."""


@dataclass(frozen=True, slots=True)
class MeasuredText:
    """What is read: chunks of `n_ctx` tokens of a file, or of this package's scenes (None)."""

    data: Path | None = None
    n_ctx: int = 512
    n_positions: int | None = N_POSITIONS

    @property
    def name(self) -> str:
        """For people."""
        return "held-out scenes" if self.data is None else self.data.name

    def chunks(self, vocabulary: VocabOnly) -> NDArray[np.int32]:
        """The chunks, (n_chunks, n_ctx).

        Raises:
            QualityError: it cannot be read, or is too short.
            ModelError: scenes are read, and the model has no control tokens.
        """
        if self.data is not None and not is_scenes(self.data):
            return plain_chunks(vocabulary, read_text(self.data), self.n_ctx, self.n_positions)
        scenes = held_out_scenes() if self.data is None else read_scenes(self.data)
        return scene_chunks(vocabulary, scenes, self.n_ctx, self.n_positions)


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """A file with its figures by group: `ALL`, and of a text with messages `SPOKEN` and `REST`."""

    file: ModelFile
    groups: Mapping[str, Figures]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PairedFiles:
    """How much more `worse` diverges from the base than `better`, in nats."""

    better: str
    worse: str
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """Files beside their base, the largest file first.

    `is_whole_text` says that the text has no more positions than those that were compared.
    """

    base: Mapping[str, Any]
    text: str
    n_ctx: int
    n_chunks: int
    is_whole_text: bool
    files: tuple[MeasuredFile, ...]
    pairs: tuple[PairedFiles, ...]

    @property
    def n_positions(self) -> int:
        """Positions that were compared."""
        return self.files[0].groups[ALL].n_positions

    def label(self, measured: MeasuredFile) -> str:
        """A file's type, if no other has the same, else its name."""
        types = [each.file.model.ftype for each in self.files]
        its = measured.file.model.ftype
        return its if types.count(its) == 1 and its else measured.file.name

    @property
    def left_error(self) -> float:
        """The error of a divergence relative to it, of the file for which it is largest."""
        each = [measured.groups[ALL].kld for measured in self.files]
        return max((kld.error / kld.value for kld in each if kld.value > 0), default=0.0)

    @property
    def is_far(self) -> bool:
        """Whether a file is so far from the base that the logits may be another model's."""
        return any(measured.groups[ALL].kld.value > FAR for measured in self.files)


@dataclass(frozen=True, slots=True)
class LogitsPlace:
    """Where things are on the disk.

    `logits` is a file of a base's logits, to write or to go on from; None writes one that is
    removed. `cache` is the folder of what is kept for a run that goes on.
    """

    cache: Path
    logits: Path | None = None


def compare(
    base: ModelFile | None,
    files: Sequence[ModelFile],
    text: MeasuredText,
    computing: Computing,
    place: LogitsPlace,
) -> Comparison:
    """Measure files beside a base.

    Args:
        base: the base; None takes the logits that there are.
        files: one or more, of the same model.
        text: what is read; not looked at without a base, whose logits are of some text already.
        computing: how models are loaded.
        place: where logits are.

    Raises:
        QualityError: something does not go together, is too short, or cannot be written.
        ModelError, MemoryShortError, SettingsError, EngineError: as for `LlamaEngine`.
    """
    for file in files:
        if base is not None:
            refuse_others(base.origin, file)
    with ExitStack() as stack:
        vocabulary = stack.enter_context(closing(VocabOnly((base or files[0]).path)))
        logits = _base_logits(base, text, vocabulary, computing=computing, place=place, stack=stack)
        for file in files:
            refuse_others(logits.origin, file)
        kept = None if place.logits is None else place.cache / "scores"
        spoken = spoken_by_model(logits.tokens, vocabulary)
        measured = [_measured(file, score(file, logits, computing, kept), spoken) for file in files]
    measured.sort(key=lambda each: -each.file.model.size)
    n_positions = len(measured[0].values)
    wanted = None if base is None else text.n_positions
    return Comparison(
        base=logits.origin or {"model": logits.path.name},
        text=text.name if base is not None else str(logits.origin.get("text", "its text")),
        n_ctx=logits.n_ctx,
        n_chunks=len(logits.tokens),
        is_whole_text=wanted is None or n_positions < wanted,
        files=tuple(measured),
        pairs=tuple(_pair(one, other) for one, other in pairwise(measured)),
    )


def _base_logits(
    base: ModelFile | None,
    text: MeasuredText,
    vocabulary: VocabOnly,
    *,
    computing: Computing,
    place: LogitsPlace,
    stack: ExitStack,
) -> BaseLogits:
    """The base's logits: those that are there, or new ones."""
    if base is None:
        if place.logits is None:
            raise QualityError("There is neither a base nor a file of its logits.")
        return read_base_logits(place.logits)
    tokens = text.chunks(vocabulary)
    if place.logits is not None and place.logits.exists():
        found = read_base_logits(place.logits)
        if found.tokens.shape != tokens.shape or (found.tokens != tokens).any():
            raise QualityError(
                f"{place.logits} has logits for another text, context or number of positions. "
                "Name another file, or remove it."
            )
        if found.origin.get("identity", base.identity) != base.identity:
            raise QualityError(
                f"{place.logits} has the logits of {found.origin.get('model')}, another file than "
                f"{base.path}. Name another file, or remove it."
            )
        return found
    path = place.logits
    if path is None:
        path = stack.enter_context(workspace(place.cache)) / "base.logits"
    return write_base(base, tokens, path, computing, text.name)


def _measured(
    file: ModelFile, values: NDArray[np.float32], spoken: NDArray[np.bool_] | None
) -> MeasuredFile:
    groups = {ALL: figures(values)}
    if spoken is not None:
        for name, which in ((SPOKEN, spoken), (REST, ~spoken)):
            if np.count_nonzero(which) >= LEAST_POSITIONS:
                groups[name] = figures(values[which])
    return MeasuredFile(file, groups, values)


def _pair(one: MeasuredFile, other: MeasuredFile) -> PairedFiles:
    found = paired(other.values, one.values)
    if found.value < 0:
        one, other, found = other, one, Estimate(-found.value, found.error)
    return PairedFiles(one.file.name, other.file.name, found)
