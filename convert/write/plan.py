"""What a conversion will write: which tensor as which type into which file, to the byte."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.quantize.ggml import Type, planned_types
from relay_gguf.convert.read.checkpoint import Array
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Keys

from .header import Layout, part_names, split, with_type, write_skeleton


@dataclass(frozen=True, slots=True)
class File:
    """A file, or a part of a split one."""

    name: str
    layout: Layout


@dataclass(frozen=True, slots=True)
class Target:
    """A type that is wanted, and its files."""

    ftype: str
    types: Mapping[str, Type]
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.layout.size for file in self.files)

    @property
    def n_tensors(self) -> Counter[str]:
        """How many tensors are of each type."""
        return Counter(kind.name for kind in self.types.values())


def plan(
    keys: Keys,
    tensors: Sequence[Tensor],
    names: Mapping[str, str],
    weights: Mapping[str, Array] | None = None,
    max_bytes: int | None = None,
) -> list[Target]:
    """Plan files of several types.

    Args:
        keys: of all of them.
        tensors: of all of them, in any order.
        names: type → file name.
        weights: an imatrix.
        max_bytes: of tensors in a file; None does not split.

    Raises:
        ConversionError: llama.cpp cannot plan it, or an imatrix is of another model.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    weights = _fitting(weights, by_name)
    targets = []
    for ftype in names:
        types = _types(keys, tensors, ftype, weights)
        if types.keys() != by_name.keys():
            lost = sorted(by_name.keys() ^ types.keys())
            raise ConversionError(f"llama.cpp's plan for {ftype} differs in {', '.join(lost[:3])}.")
        placed = [(by_name[name], kind) for name, kind in types.items()]
        layouts = split(with_type(keys, ftype), placed, max_bytes)
        files = zip(part_names(names[ftype], len(layouts)), layouts, strict=True)
        targets.append(Target(ftype, types, tuple(File(*file) for file in files)))
    return targets


def sizes(keys: Keys, tensors: Sequence[Tensor], ftypes: Sequence[str]) -> dict[str, int]:
    """Bytes of a file of each type.

    Raises:
        ConversionError: llama.cpp cannot plan it.
    """
    return {t.ftype: t.size for t in plan(keys, tensors, {ftype: ftype for ftype in ftypes})}


def _types(
    keys: Keys, tensors: Sequence[Tensor], ftype: str, weights: Mapping[str, Array] | None
) -> dict[str, Type]:
    needed = {name: value for name, value in keys.items() if not name.startswith("tokenizer.")}
    with tempfile.TemporaryDirectory() as folder:
        skeleton = Path(folder, "skeleton")
        write_skeleton(skeleton, with_type(needed, ftype), tensors)
        return planned_types(skeleton, ftype, weights)


def _fitting(
    weights: Mapping[str, Array] | None, tensors: Mapping[str, Tensor]
) -> Mapping[str, Array] | None:
    """An imatrix checked against the model, as llama.cpp would end the process over it."""
    if weights is None:
        return None
    known = {name: values for name, values in weights.items() if name in tensors}
    if not known:
        raise ConversionError("The imatrix has weights for none of the model's tensors.")
    for name, values in known.items():
        if values.size != tensors[name].columns:
            raise ConversionError(
                f"The imatrix has {values.size} weights for {name}, whose rows have "
                f"{tensors[name].columns} values. Is it of another model?"
            )
    return known
