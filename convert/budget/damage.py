"""What each type of a tensor would do to the model's output: an error, measured, times a rule.

The error is that of the encoded rows of a sample, Σ h (file - weight)² over Σ h weight², where h is
the column's weight in an importance matrix, or 1. The rule says how much such an error of this kind
of tensor moves what the model says. See docs/convert.md for where its numbers come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from relay_gguf.convert.arch.weights import Tensor, Weights
from relay_gguf.convert.quantize.ggml import Type, decode, encode
from relay_gguf.convert.read.arrays import Array
from relay_gguf.errors import ConversionError

SAMPLE: Final = 1 << 18
"""Values that are measured of each tensor, about."""
LEAST_ROWS: Final = 16
MOST_ROWS: Final = 128
"""Rows that are measured of each tensor, in runs of `RUN` spread evenly over it."""
RUN: Final = 8
SENSITIVITY: Final[Mapping[str, tuple[float, float]]] = {
    "token_embd": (7.5, 7.5),
    "output": (7.5, 7.5),
    "attn_q": (1.6, 0.8),
    "attn_k": (2.1, 0.75),
    "attn_v": (3.0, 3.8),
    "attn_output": (2.4, 1.9),
    "ffn_gate": (3.5, 2.5),
    "ffn_up": (4.6, 4.4),
    "ffn_down": (5.0, 3.7),
}
"""Kind of tensor → nats of divergence for a relative squared error of 1 in all of its kind: where
the error is weighed by an importance matrix, and where it is not."""
USUAL: Final = (3.0, 3.0)

Errors = Mapping[Type, float]
"""Type → the relative squared error of a tensor as this type."""


def measure(
    weights: Weights,
    tensors: Sequence[Tensor],
    kinds: Mapping[str, Sequence[Type]],
    *,
    n_threads: int,
    importance: Mapping[str, Array] | None = None,
) -> Iterator[tuple[str, Errors]]:
    """The relative squared errors of tensors; yields them one after the other, in order.

    Args:
        weights: the source of the rows.
        tensors: to measure.
        kinds: tensor name → types.
        n_threads: number of threads that encode.
        importance: the weights of an imatrix, by tensor name.

    Raises:
        ConversionError: a value is not finite; names the tensor.
    """
    known = importance or {}

    def measured(tensor: Tensor) -> tuple[str, Errors]:
        return tensor.name, _errors(weights, tensor, kinds[tensor.name], known.get(tensor.name))

    with ThreadPoolExecutor(n_threads, thread_name_prefix="measure") as pool:
        waiting = [pool.submit(measured, tensor) for tensor in tensors]
        try:
            for future in waiting:
                yield future.result()
        finally:
            for future in waiting:
                future.cancel()


def sampled(tensor: Tensor) -> list[tuple[int, int]]:
    """Row ranges [start, stop) that are measured, in whole groups of rows that belong together.

    Of experts, whose rows are all read at once, the first and the middle one.
    """
    n_rows = tensor.shape[0]
    if len(tensor.shape) > 2:
        return [(at, at + 1) for at in sorted({0, n_rows // 2})]
    run = max(RUN, tensor.together)
    n_runs = -(-n_rows // run)
    taken = min(n_runs, -(-_n_sampled(tensor) // run))
    starts = [int((index + 0.5) * n_runs / taken) * run for index in range(taken)]
    return [(start, min(start + run, n_rows)) for start in starts]


def damage_of(name: str, error: float, n_alike: int, *, weighed: bool) -> float:
    """The divergence that an error of a tensor causes, in nats, by the rule.

    Args:
        name: of the tensor.
        error: its relative squared error.
        n_alike: how many tensors of its kind the model has: each is one of so many.
        weighed: the error is weighed by an importance matrix.
    """
    with_matrix, without = SENSITIVITY.get(module(name), USUAL)
    return (with_matrix if weighed else without) * error / n_alike


def _errors(
    weights: Weights, tensor: Tensor, kinds: Sequence[Type], weight: Array | None
) -> Errors:
    read = weights.open(tensor)
    squares, errors = 0.0, dict.fromkeys(kinds, 0.0)
    for start, stop in sampled(tensor):
        parts = [(read(start, stop).rows.reshape(-1, tensor.columns), weight)]
        if len(tensor.shape) > 2 and weight is not None:
            each = weight.reshape(-1, tensor.columns)[start:stop]
            parts = [(parts[0][0], each[0])]
        for rows, column_weights in parts:
            if len(tensor.shape) > 2:
                rows = rows[:: max(1, len(rows) // _n_sampled(tensor))]
            h = np.ones(tensor.columns, np.float32) if column_weights is None else column_weights
            squares += _weighed(rows, h)
            for kind in kinds:
                found = decode(kind, encode(kind, rows, column_weights), tensor.columns)
                errors[kind] += _weighed(found - rows, h)
    if not math.isfinite(squares):
        raise ConversionError(
            f"{tensor.name} has values that are NaN or infinite, so that no type can be chosen for "
            "it: the model is damaged."
        )
    return {kind: error / squares if squares else 0.0 for kind, error in errors.items()}


def _n_sampled(tensor: Tensor) -> int:
    """Rows that are measured of a matrix."""
    return min(MOST_ROWS, max(LEAST_ROWS, SAMPLE // tensor.columns))


def _weighed(values: Array, weights: Array) -> float:
    """Σ weight value²."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.einsum("ij,ij->j", values, values).astype(np.float64) @ weights)


def module(name: str) -> str:
    """`attn_q` for `blk.7.attn_q.weight`, `token_embd` for `token_embd.weight`."""
    return name.rpartition(".")[0].rpartition(".")[2]
