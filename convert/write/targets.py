"""The plan of a conversion: the type of each tensor, and the files of each type, to the byte."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from gguf import GGML_QUANT_SIZES

from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.quantize.ftypes import FLOATS, WITH_IMATRIX, Type
from relay_gguf.convert.quantize.mixture import matched, planned_types
from relay_gguf.convert.quantize.overrides import TypeOverrides
from relay_gguf.convert.read.arrays import Array
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Metadata

from .importance import check_weights, fitting
from .layout import (
    Layout,
    lay_out,
    padded,
    shard_names,
    split,
    tensor_bytes,
    with_type,
    write_skeleton,
)

STANDARDS: Final = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
"""The file types of llama.cpp that others are compared with, from large to small."""
STANDARDS_WEIGHED: Final = ("IQ2_S", "IQ2_XXS")
"""The same for smaller files, with an importance matrix."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file to write, or a shard of a model that is split."""

    name: str
    layout: Layout


@dataclass(frozen=True, slots=True)
class QuantTarget:
    """A file type that is wanted: the type of each tensor in file order, and the files.

    `overrides` are what the user, or the file type itself, wants in place of llama.cpp's choice.
    """

    ftype: str
    types: Mapping[str, Type]
    files: tuple[PlannedFile, ...]
    overrides: TypeOverrides = field(default_factory=TypeOverrides)
    notes: tuple[str, ...] = ()

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
    overrides: TypeOverrides | None = None,
) -> list[QuantTarget]:
    """Plan the files of several types.

    Args:
        metadata: of all of them.
        tensors: of all of them, in any order.
        names: file type → file name.
        importance: the weights of an imatrix, by tensor name.
        max_bytes: of tensors in a file; None does not split.
        overrides: types in place of llama.cpp's choice.

    Raises:
        ConversionError: llama.cpp cannot plan the types, an override fits no tensor, or the imatrix
            is of another model, or there is none and a type needs it.
    """
    importance = fitting(importance, {tensor.name: tensor for tensor in tensors})
    wanted = overrides or TypeOverrides()
    planned, _ = _plans(metadata, tensors, list(names), wanted, with_imatrix=importance is not None)
    for plan in planned:
        check_weights(plan.ftype, plan.types, importance)
    by_name = {tensor.name: tensor for tensor in tensors}
    targets = []
    for plan in planned:
        typed = [(by_name[tensor], kind) for tensor, kind in plan.types.items()]
        layouts = split(with_type(metadata, plan.ftype), typed, max_bytes)
        files = zip(shard_names(names[plan.ftype], len(layouts)), layouts, strict=True)
        targets.append(replace(plan, files=tuple(PlannedFile(*file) for file in files)))
    return targets


def plan_standards(
    metadata: Metadata,
    tensors: Sequence[Tensor],
    *,
    importance: Mapping[str, Array] | None = None,
    overrides: TypeOverrides | None = None,
) -> tuple[list[QuantTarget], dict[str, Type]]:
    """Plan llama.cpp's usual mixes without their files, and the types that the user has asked for.

    Returns:
        The plans of `STANDARDS`, and the types of the tensors that an override names.

    Raises:
        ConversionError: as `plan_targets`.
    """
    importance = fitting(importance, {tensor.name: tensor for tensor in tensors})
    wanted = overrides or TypeOverrides()
    weighed = importance is not None
    names = (*STANDARDS, *STANDARDS_WEIGHED) if weighed else STANDARDS
    plans, found = _plans(metadata, tensors, list(names), wanted, with_imatrix=weighed)
    asked = {name for each in found.values() for name in each}
    asked |= {"token_embd.weight"} if wanted.token_embedding is not None else set()
    asked |= {"output.weight"} if wanted.output is not None else set()
    types = plans[0].types
    return plans, {name: types[name] for name in types if name in asked}


def plan_chosen(
    metadata: Metadata,
    tensors: Sequence[Tensor],
    standard: QuantTarget,
    label: str,
    types: Mapping[str, Type],
    *,
    name: str,
    max_bytes: int | None = None,
) -> QuantTarget:
    """Plan the file of types that were chosen one by one.

    Args:
        metadata: of the file.
        tensors: of the file.
        standard: the plan whose file type and notes the file has.
        label: what the type is called here.
        types: tensor → its type.
        name: of the file.
        max_bytes: of tensors in a file; None does not split.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    typed = [(by_name[tensor], types[tensor]) for tensor in standard.types]
    layouts = split(with_type(metadata, standard.ftype), typed, max_bytes)
    files = zip(shard_names(name, len(layouts)), layouts, strict=True)
    return replace(
        standard, ftype=label, types=types, files=tuple(PlannedFile(*file) for file in files)
    )


def sizing(
    metadata: Metadata, tensors: Sequence[Tensor], max_bytes: int | None = None
) -> Callable[[Mapping[str, Type]], int]:
    """The bytes of a model's file, or of all its shards, as a function of its tensors' types."""
    by_name = {tensor.name: tensor for tensor in tensors}
    full = with_type(metadata, STANDARDS[0])
    if max_bytes is not None:
        return lambda types: sum(
            layout.size
            for layout in split(full, [(by_name[n], kind) for n, kind in types.items()], max_bytes)
        )
    any_types = [(tensor, Type.F32) for tensor in tensors]
    header = len(lay_out(full, any_types).header)  # types take no room there
    return lambda types: (
        header + sum(padded(tensor_bytes(by_name[name], kind)) for name, kind in types.items())
    )


def sizes(metadata: Metadata, tensors: Sequence[Tensor], ftypes: Sequence[str]) -> dict[str, int]:
    """File type → bytes of its file; with an importance matrix where the type needs one.

    Raises:
        ConversionError: llama.cpp cannot plan the types.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    found = {}
    for ftype in ftypes:
        with_imatrix = ftype in WITH_IMATRIX
        (plan,), _ = _plans(metadata, tensors, [ftype], TypeOverrides(), with_imatrix=with_imatrix)
        typed = [(by_name[tensor], kind) for tensor, kind in plan.types.items()]
        found[ftype] = lay_out(with_type(metadata, ftype), typed).size
    return found


def _plans(
    metadata: Metadata,
    tensors: Sequence[Tensor],
    ftypes: Sequence[str],
    wanted: TypeOverrides,
    *,
    with_imatrix: bool,
) -> tuple[list[QuantTarget], dict[str, list[str]]]:
    """The types of the tensors of each file, without the files; and what each pattern finds."""
    needed = {k: value for k, value in metadata.items() if not k.startswith("tokenizer.")}
    plans = []
    with tempfile.TemporaryDirectory() as folder:
        skeletons = {ftype: Path(folder, ftype) for ftype in ftypes}
        for ftype, skeleton in skeletons.items():
            write_skeleton(skeleton, with_type(needed, ftype), tensors)
        found = _matched(skeletons, wanted)
        for ftype, skeleton in skeletons.items():
            overrides = wanted.of(ftype)
            _check_blocks(ftype, tensors, overrides)
            types = planned_types(skeleton, ftype, overrides, with_imatrix=with_imatrix)
            if lost := sorted({tensor.name for tensor in tensors} ^ types.keys()):
                raise ConversionError(
                    f"llama.cpp's plan for {ftype} differs in {', '.join(lost[:3])}."
                )
            notes = () if ftype in FLOATS else tuple(_fallbacks(ftype, types, wanted, found))
            plans.append(QuantTarget(ftype, types, (), overrides, notes))
    return plans, found


def _matched(skeletons: Mapping[str, Path], wanted: TypeOverrides) -> dict[str, list[str]]:
    """Pattern → the names of the tensors that it is found in.

    Raises:
        ConversionError: it is found in none, or no file is quantized.
    """
    quantized = [ftype for ftype in skeletons if ftype not in FLOATS]
    found: dict[str, list[str]] = {}
    for pattern, kind in wanted.patterns:
        if not quantized:
            raise ConversionError(
                f"--tensor-type {pattern}={kind.name} changes quantized files only, and "
                f"{', '.join(skeletons)} is not quantized. Give another --quant."
            )
        for ftype in quantized:
            found[pattern] = matched(skeletons[ftype], ftype, pattern, wanted.of(ftype))
            if found[pattern]:
                break
        else:
            raise ConversionError(
                f"--tensor-type {pattern}={kind.name}: {pattern!r} is found in the name of no "
                "tensor that is quantized. Names are like blk.0.attn_q.weight, "
                "blk.0.ffn_down.weight, output.weight; vectors and norms stay as they are, and "
                "--token-embedding-type and --output-tensor-type go before a pattern."
            )
    return found


def _fallbacks(
    ftype: str,
    types: Mapping[str, Type],
    wanted: TypeOverrides,
    found: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """Notes on patterns whose type rows of these lengths cannot have."""
    set_already: set[str] = set()
    for pattern, kind in wanted.patterns:
        others = [n for n in found[pattern] if types[n] is not kind and n not in set_already]
        set_already.update(found[pattern])
        if others:
            block = GGML_QUANT_SIZES[kind][0]
            yield (
                f"{ftype}: {len(others)} tensors that {pattern!r} finds are "
                f"{', '.join(sorted({types[name].name for name in others}))}, not {kind.name}, "
                f"whose blocks of {block} values do not divide their rows: {others[0]} is one."
            )


def _check_blocks(ftype: str, tensors: Sequence[Tensor], overrides: TypeOverrides) -> None:
    """Refuse a type of the embedding or the output head that llama.cpp would end the process over.

    Raises:
        ConversionError: its blocks do not divide the rows.
    """
    asked = {
        "token_embd.weight": ("--token-embedding-type", overrides.token_embedding),
        "output.weight": ("--output-tensor-type", None if ftype in FLOATS else overrides.output),
    }
    for tensor in tensors:
        option, kind = asked.get(tensor.name, ("", None))
        if kind is not None and tensor.columns % (block := GGML_QUANT_SIZES[kind][0]):
            raise ConversionError(
                f"{ftype}: {tensor.name} cannot be {kind.name}, whose blocks of {block} values do "
                f"not divide its rows of {tensor.columns}. Give {option} a type that does: Q8_0 "
                "has blocks of 32, F16 of 1."
            )
