"""The plan of a conversion: the type of each tensor, and the files of each type, to the byte."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.quantize.ggml import Type, planned_types
from relay_gguf.convert.read.arrays import Array
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Metadata

from .layout import Layout, shard_names, split, with_type, write_skeleton


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file to write, or a shard of a model that is split."""

    name: str
    layout: Layout


@dataclass(frozen=True, slots=True)
class QuantTarget:
    """A file type that is wanted: the type of each tensor in file order, and the files."""

    ftype: str
    types: Mapping[str, Type]
    files: tuple[PlannedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of its files together."""
        return sum(file.layout.size for file in self.files)

    @property
    def n_tensors(self) -> Counter[str]:
        """Type of tensor → how many tensors have it."""
        return Counter(kind.name for kind in self.types.values())


def plan_targets(
    metadata: Metadata,
    tensors: Sequence[Tensor],
    names: Mapping[str, str],
    *,
    importance: Mapping[str, Array] | None = None,
    max_bytes: int | None = None,
) -> list[QuantTarget]:
    """Plan the files of several types.

    Args:
        metadata: of all of them.
        tensors: of all of them, in any order.
        names: file type → file name.
        importance: the weights of an imatrix, by tensor name.
        max_bytes: of tensors in a file; None does not split.

    Raises:
        ConversionError: llama.cpp cannot plan the types, or the imatrix is of another model.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    importance = _fitting(importance, by_name)
    targets = []
    for ftype, name in names.items():
        types = _types(metadata, tensors, ftype, importance)
        if types.keys() != by_name.keys():
            lost = sorted(by_name.keys() ^ types.keys())
            raise ConversionError(f"llama.cpp's plan for {ftype} differs in {', '.join(lost[:3])}.")
        typed = [(by_name[tensor], kind) for tensor, kind in types.items()]
        layouts = split(with_type(metadata, ftype), typed, max_bytes)
        files = zip(shard_names(name, len(layouts)), layouts, strict=True)
        targets.append(QuantTarget(ftype, types, tuple(PlannedFile(*file) for file in files)))
    return targets


def sizes(metadata: Metadata, tensors: Sequence[Tensor], ftypes: Sequence[str]) -> dict[str, int]:
    """File type → bytes of its file.

    Raises:
        ConversionError: llama.cpp cannot plan the types.
    """
    targets = plan_targets(metadata, tensors, {ftype: ftype for ftype in ftypes})
    return {target.ftype: target.size for target in targets}


def _types(
    metadata: Metadata,
    tensors: Sequence[Tensor],
    ftype: str,
    importance: Mapping[str, Array] | None,
) -> dict[str, Type]:
    needed = {k: value for k, value in metadata.items() if not k.startswith("tokenizer.")}
    with tempfile.TemporaryDirectory() as folder:
        skeleton = Path(folder, "skeleton")
        write_skeleton(skeleton, with_type(needed, ftype), tensors)
        return planned_types(skeleton, ftype, importance)


def _fitting(
    importance: Mapping[str, Array] | None, tensors: Mapping[str, Tensor]
) -> Mapping[str, Array] | None:
    """The weights of an imatrix for the model's tensors.

    A wrong length is an error here, since llama.cpp would end the process over it.
    """
    if importance is None:
        return None
    known = {name: values for name, values in importance.items() if name in tensors}
    if not known:
        raise ConversionError(
            "The imatrix has weights for none of the model's tensors. Is it of another model?"
        )
    for name, values in known.items():
        if values.size != tensors[name].columns:
            raise ConversionError(
                f"The imatrix has {values.size} weights for {name}, whose rows have "
                f"{tensors[name].columns} values. Is it of another model?"
            )
    return known
