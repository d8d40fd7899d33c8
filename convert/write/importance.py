"""Whether an importance matrix goes with the tensors of a model, and with the types of a file."""

from __future__ import annotations

from collections.abc import Mapping

from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.quantize.ftypes import Type, needs_imatrix
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
    for name, values in known.items():
        shape = tensors[name].shape  # of (experts, rows, columns), each expert has its own weights
        if values.size != shape[-1] * (shape[0] if len(shape) > 2 else 1):
            raise ConversionError(
                f"The imatrix has {values.size} weights for {name}, whose rows have "
                f"{shape[-1]} values. Is it of another model?"
            )
    return known
