"""Tensors of which some matrices are stored the other way around."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from .arrays import Array
from .checkpoint import CheckpointTensor, Tensors
from .weight_file import StoredTensor


class Transposed:
    """Tensors as others have them, but for matrices that are seen transposed; these are small."""

    def __init__(self, tensors: Tensors, names: Collection[str]) -> None:
        """See these matrices transposed."""
        self._tensors = tensors
        self._names = frozenset(names)
        self.infos: Mapping[str, CheckpointTensor] = {
            name: CheckpointTensor(name, info.dtype, info.shape[::-1]) if name in names else info
            for name, info in tensors.infos.items()
        }

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor, in float32."""
        if name in self._names:
            return self._tensors.rows(name).T[start:stop]
        return self._tensors.rows(name, start, stop)

    def check_readable(self, names: Iterable[str]) -> None:
        """Refuse tensors of a type that cannot be read."""
        self._tensors.check_readable(names)

    def stored(self, names: Iterable[str]) -> Iterator[StoredTensor]:
        """What reading these tensors reads of files of safetensors, in order."""
        return self._tensors.stored(names)
