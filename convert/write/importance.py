"""Whether an importance matrix goes with the tensors of a model, and with the types of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.quantize.ftypes import Type, needs_imatrix
from relay_gguf.convert.quantize.imatrix import BLOCK, Imatrix
from relay_gguf.convert.read.arrays import Array
from relay_gguf.errors import ConversionError


def check_weights(
    ftype: str, types: Mapping[str, Type], importance: Mapping[str, Array] | None
) -> None:
    """Refuse a file whose tensors need an importance matrix that is not there.

    Args:
        ftype: the type of the file.
        types: tensor → its type.
        importance: the weights of an imatrix, by tensor name; None without one.

    Raises:
        ConversionError: there is none, or it lacks a tensor.
    """
    known = importance or {}
    lost = [
        name
        for name, kind in types.items()
        if needs_imatrix(ftype, name, kind) and name not in known
    ]
    if not lost:
        return
    first = f"{lost[0]} as {types[lost[0]].name}"
    if importance is None:
        raise ConversionError(
            f"{ftype} needs an importance matrix ({first}): give --imatrix FILE, which "
            "`relay-gguf imatrix` makes."
        )
    raise ConversionError(
        f"The imatrix has no weights for {len(lost)} tensors of {ftype} that need them "
        f"({first}). Is it of another model? Otherwise give these another --tensor-type, "
        "--token-embedding-type or --output-tensor-type."
    )


FEW_ROWS: Final = 2000
"""Rows of text below which a matrix says little; ours has 7,680 with SmolLM2's tokenizer."""


def notes_on(imatrix: Imatrix, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Notes on a matrix of few rows, and on weights that it does not have.

    Args:
        imatrix: as it was read.
        tensors: of the model, by name.
    """
    if imatrix.rows is not None and imatrix.rows < FEW_ROWS:
        yield (
            f"{imatrix.file} was computed on {imatrix.rows:,} rows of text, too few to tell which "
            f"columns matter. Make one of {FEW_ROWS:,} or more: `relay-gguf imatrix` has text."
        )
    needed = [n for n, t in tensors.items() if n.startswith(BLOCK) and len(t.shape) > 1]
    lost = [name for name in needed if name not in imatrix.weights]
    if lost:
        yield (
            f"{imatrix.file} has no weights for {len(lost)} of {len(needed)} matrices of the "
            f"model's blocks, as {lost[0]}: these are encoded without."
        )


def fitting(
    importance: Mapping[str, Array] | None, tensors: Mapping[str, Tensor]
) -> Mapping[str, Array] | None:
    """The weights of an imatrix for the model's tensors.

    Args:
        importance: weights by tensor name; None without an imatrix.
        tensors: of the model, by name.

    Raises:
        ConversionError: there are none, or too many or few for a tensor, over which llama.cpp would
            end the process.
    """
    if importance is None:
        return None
    known = {name: values for name, values in importance.items() if name in tensors}
    if not known:
        raise ConversionError(
            "The imatrix has weights for none of the model's tensors. Is it of another model?"
        )
    blocks = {_block(name) for name in tensors} - {""}
    if blocks and (beyond := {_block(name) for name in importance} - blocks - {""}):
        raise ConversionError(
            f"The imatrix has weights for block {min(map(int, beyond))}, and the model has "
            f"{len(blocks)} blocks: it is of another model. `relay-gguf imatrix` makes one of this."
        )
    for name, values in known.items():
        shape = tensors[name].shape  # of (experts, rows, columns), each expert has its own weights
        if values.size != shape[-1] * (shape[0] if len(shape) > 2 else 1):
            raise ConversionError(
                f"The imatrix has {values.size} weights for {name}, whose rows have "
                f"{shape[-1]} values. Is it of another model?"
            )
    return known


def _block(name: str) -> str:
    """`7` for `blk.7.attn_q.weight`; empty for a tensor outside of the blocks."""
    word, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return number if word + "." == BLOCK and number.isdecimal() and number.isascii() else ""
