"""Sums over what goes into each matrix, as llama.cpp's imatrix tool collects them.

Its rules (tools/imatrix/imatrix.cpp, collect_imatrix): products with a weight of a block, of 16
rows or more in float32; of a mixture of experts each expert by itself, however few its rows are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from relay_gguf.errors import EngineError

from .ggml_tensor import F32, GgmlTensor, operations, tensor_at, values

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_ROWS: Final = 16
BLOCK: Final = "blk."
"""Begins the names of the weights that count: not the embedding, nor the output head."""


@dataclass(slots=True)
class ColumnSums:
    """Sums over the rows that went into a weight.

    Attributes:
        squares: Σx² by column, (n_matrices, n_columns) in float64.
        counts: rows, (n_matrices,) for experts, (1,) for all matrices together otherwise.
    """

    squares: NDArray[np.float64]
    counts: NDArray[np.int64]

    def add(self, other: ColumnSums) -> None:
        """Add the sums of other rows."""
        self.squares += other.squares
        self.counts += other.counts


Sums = dict[str, ColumnSums]
"""Weight → its sums."""


class Collector:
    """Told of each operation by llama.cpp; `sums` are of the rows since they were last taken."""

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Have no sums.

        Args:
            stopped: True ends the evaluation at the next product.
        """
        self._stopped = stopped
        self._product, self._product_by_ids = operations()
        self._sums: Sums = {}
        self._input: tuple[int, NDArray[np.float64]] | None = None
        self.error: Exception | None = None

    def take(self) -> Sums:
        """The sums so far, which begin anew.

        Raises:
            EngineError: a row was not finite, or could not be read.
        """
        sums, error = self._sums, self.error
        self._sums, self._input, self.error = {}, None, None
        if error is not None:
            raise error
        for name, entry in sums.items():
            if not np.isfinite(entry.squares).all():
                raise EngineError(
                    f"What goes into {name} is not finite: the model is damaged, or too coarse. "
                    "Take another file of it."
                )
        return sums

    def __call__(self, address: int, ask: bool, _: object) -> bool:
        """What llama.cpp calls: whether a result is wanted, and then with it.

        No exception may leave this: C would lose it, and go on.
        """
        try:
            tensor = tensor_at(address)
            if ask:
                return self._wants(tensor)
            self._collect(tensor)
        except Exception as error:
            self.error = error
            return False
        return not self._stopped()

    def _wants(self, tensor: GgmlTensor) -> bool:
        if tensor.op == self._product_by_ids:
            return True
        if tensor.op != self._product:
            return False
        rows = tensor.source(1)
        return (
            rows.shape[1] >= LEAST_ROWS
            and rows.type == F32
            and tensor.source(0).weight.startswith(BLOCK)
        )

    def _collect(self, tensor: GgmlTensor) -> None:
        weight = tensor.source(0)
        if tensor.op == self._product_by_ids:
            ids = values(tensor.source(2))[0, 0]
            found = expert_sums(values(tensor.source(1))[0], ids, weight.shape[2])
        else:
            shape = (weight.shape[3], weight.shape[2])
            found = matrix_sums(self._squares(tensor.sources[1]), shape, tensor.source(1).shape[1])
        known = self._sums.get(weight.weight)
        if known is None:
            self._sums[weight.weight] = found
        else:
            known.add(found)

    def _squares(self, address: int) -> NDArray[np.float64]:
        """Σx² over the rows of the input at this address, which several weights in turn share."""
        if self._input is None or self._input[0] != address:
            self._input = address, column_squares(values(tensor_at(address)))
        return self._input[1]


def column_squares(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Σx² over the rows of each matrix: (n3, n2, n_rows, n_columns) → (n3, n2, n_columns)."""
    squares: NDArray[np.float64] = np.einsum("abij,abij->abj", rows, rows).astype(np.float64)
    return squares


def matrix_sums(
    squares: NDArray[np.float64], n_matrices: tuple[int, int], n_rows: int
) -> ColumnSums:
    """The sums for a weight of one or several matrices.

    Args:
        squares: of the inputs, (n3, n2, n_columns); each goes into the matrix of its number, and
            the numbers begin anew where there are fewer matrices.
        n_matrices: of the weight, (n3, n2).
        n_rows: of each input.
    """
    outer, inner = n_matrices
    sums = np.zeros((outer * inner, squares.shape[-1]))
    for i in range(squares.shape[0]):
        for j in range(squares.shape[1]):
            sums[(i % outer) * inner + j % inner] += squares[i, j]
    n_all = squares.shape[0] * squares.shape[1] * n_rows
    return ColumnSums(sums, np.array([n_all // len(sums)], np.int64))


def expert_sums(rows: NDArray[np.float32], ids: NDArray[np.int32], n_experts: int) -> ColumnSums:
    """The sums for each expert of a mixture.

    Args:
        rows: (n_tokens, n_inputs, n_columns); with fewer inputs than experts these share them.
        ids: the experts of each token, (n_tokens, n_used).
        n_experts: there are.
    """
    sums = ColumnSums(np.zeros((n_experts, rows.shape[-1])), np.zeros(n_experts, np.int64))
    for place in range(ids.shape[1]):
        taken = rows[:, place % rows.shape[1]]
        for expert in np.unique(ids[:, place]):
            mine = taken[ids[:, place] == expert]
            sums.squares[expert] += np.einsum("ij,ij->j", mine, mine)
            sums.counts[expert] += len(mine)
    return sums
