"""Base + adapter → merged rows in float32, a slab at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from relay_gguf.errors import ConversionError

from . import nf4
from .adapter import Adapter, TensorChange
from .arrays import Array, Bytes
from .checkpoint import CheckpointTensor, Tensors
from .lora import Lora, load_lora
from .weight_file import StoredTensor

MergeBase = Literal["original", "nf4", "nf4-double"]
MERGE_BASES: Final[tuple[MergeBase, ...]] = get_args(MergeBase)

LINEARS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The matrices that 4-bit training quantizes: not the embedding, output matrix and norms."""
EMBEDDING: Final = "model.embed_tokens.weight"
HEAD: Final = "lm_head.weight"
SLAB_BYTES: Final = 4 << 20
"""Float32 bytes of a slab, about: rows enough for a fast product of a LoRA's matrices, and few
enough to be held by every thread."""
NOTHING: Final = TensorChange()


@dataclass(frozen=True, slots=True)
class Slab:
    """Rows of a merged tensor, float32, and the same rows before the adapter's change.

    `before` is None where nothing changes. It has no rows for those that the adapter adds.
    """

    rows: Array
    before: Array | None = None


class Merged:
    """The tensors of base and adapter together; `infos` has also those of the adapter alone."""

    def __init__(
        self, base: Tensors, adapter: Adapter | None = None, merge_base: MergeBase = "original"
    ) -> None:
        """Check that base and adapter fit together.

        Args:
            base: the model that the adapter was trained on.
            adapter: None leaves the base as it is.
            merge_base: merge into the base's own weights, or into their round trip through NF4
                with or without double quantization, with which 4-bit training computed.

        Raises:
            ConversionError: the adapter changes a tensor that the base does not have, or that has
                another shape there.
        """
        self._base = base
        self._adapter = adapter
        self._merge_base = merge_base
        self.changes: Mapping[str, TensorChange] = adapter.changes if adapter else {}
        self._stored_as: dict[str, str] = {}
        if adapter is not None and HEAD not in base.infos and EMBEDDING in base.infos:
            self._untie(adapter)
        self.infos: dict[str, CheckpointTensor] = dict(base.infos)
        self.infos |= {name: self._fit(name, NOTHING) for name in self._stored_as}
        for name, change in self.changes.items():
            self.infos[name] = self._fit(name, change)
        base.check_readable(base.infos)
        if adapter is not None:
            adapter.checkpoint.check_readable(adapter.checkpoint.infos)

    def open(self, name: str, pool: Executor | None = None) -> MergedTensor:
        """A merged tensor, whose rows several threads may read at once.

        Args:
            name: of the tensor.
            pool: does what has to be done before its first row; None does it here.
        """
        info = self.infos[name]
        change = self.changes.get(name, NOTHING)
        # A tensor stored in NF4 is as training saw it, and another round trip would change it.
        round_trip = self._merge_base != "original" and _is_linear(name) and info.dtype != "NF4"
        return MergedTensor(
            info,
            change,
            stored_as=self._stored_as.get(name, name),
            base=self._base,
            adapter=self._adapter,
            merge_base=self._merge_base if round_trip else "original",
            pool=pool,
        )

    def stored(self, names: Iterable[str]) -> Iterator[StoredTensor]:
        """What reading these tensors reads of the base's files, in order."""
        sources = (self._stored_as.get(name, name) for name in names)
        return self._base.stored(source for source in sources if source in self._base.infos)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a merged tensor."""
        stop = self.infos[name].shape[0] if stop is None else stop
        return self.open(name).read(start, stop).rows

    def _untie(self, adapter: Adapter) -> None:
        """Give a tied base its own output matrix where the adapter trained only one of the two.

        Training computed the other one with the base's embedding. Trained token rows are shared
        (PEFT ties them), as are the matrices for which `ensure_weight_tying` asks.
        """
        embedding, head = self.changes.get(EMBEDDING, NOTHING), self.changes.get(HEAD)
        alone = embedding.replacement is not None or embedding.delta is not None
        if head is None and (not alone or adapter.config.get("ensure_weight_tying")):
            return
        if head is None and embedding.replacement is not None:
            ours = adapter.checkpoint.infos[embedding.replacement].shape
            theirs = self._base.infos[EMBEDDING].shape
            if ours != theirs:
                raise ConversionError(
                    f"The adapter has an embedding of {ours}, the tied base one of {theirs}, and "
                    "nothing tells the output matrix. Train both matrices "
                    "(modules_to_save: embed_tokens, lm_head)."
                )
        self._stored_as[HEAD] = EMBEDDING

    def _fit(self, name: str, change: TensorChange) -> CheckpointTensor:
        """The info of a tensor after its change."""
        info = self._base.infos.get(self._stored_as.get(name, name))
        if info is not None:
            info = CheckpointTensor(name, info.dtype, info.shape)
        if change.replacement is not None and self._adapter is not None:
            stored = self._adapter.checkpoint.infos[change.replacement]
            if info is not None and _is_shrunk(name, info.shape, stored.shape):
                raise ConversionError(
                    f"{name} has {stored.shape[0]} rows in the adapter, {info.shape[0]} in the "
                    "base: training began with model.resize_token_embeddings(len(tokenizer)), "
                    "which cuts off rows that only fill up. Do the same with the base in "
                    "transformers, save it, and convert with it."
                )
            if info is None or not _replaces(info.shape, stored.shape):
                was = "missing" if info is None else info.shape
                raise ConversionError(
                    f"{name} is {stored.shape} in the adapter, {was} in the base. "
                    "Is this the base that it was trained on?"
                )
            info = CheckpointTensor(name, stored.dtype, stored.shape)
        if info is None:
            raise ConversionError(
                f"The adapter changes {name}, which the base does not have. "
                "Is this the base that it was trained on?"
            )
        if change.delta is not None:
            shape = change.delta.shape
            if shape != info.shape:
                raise ConversionError(
                    f"{name} is {info.shape} in the base, {shape} in the adapter. "
                    "Is this the base that it was trained on?"
                )
        self._check_lengths(name, change, info.shape)
        return info

    def _check_lengths(self, name: str, change: TensorChange, shape: tuple[int, ...]) -> None:
        """Refuse token rows, a bias or a magnitude that are not for a tensor of this shape."""
        if self._adapter is None:
            return
        infos = self._adapter.checkpoint.infos
        if change.tokens is not None:
            indices, key = change.tokens
            wanted, found = (len(indices), *shape[1:]), infos[key].shape
            if wanted != found:
                raise ConversionError(
                    f"{key} is {found}; trainable_token_indices names {len(indices)} tokens, which "
                    f"makes it {wanted}."
                )
            if beyond := [index for index in indices if not 0 <= index < shape[0]]:
                raise ConversionError(
                    f"The adapter trained token {beyond[0]}, and {name} has {shape[0]} rows. Give "
                    "the base that it was trained on, with the rows of its new tokens "
                    "(resize_token_embeddings)."
                )
        if change.bias is not None and change.bias.shape != shape:
            raise ConversionError(
                f"{name} is {shape} in the base, its lora_B.bias {change.bias.shape}."
            )
        if change.delta is not None and (key_ := change.delta.magnitude) is not None:
            norms = shape[1] if change.delta.transposed else shape[0]
            if math.prod(infos[key_].shape) != norms:
                raise ConversionError(
                    f"{key_} has {math.prod(infos[key_].shape)} values, {name} needs {norms}."
                )


class MergedTensor:
    """A merged tensor, with all that is computed of the whole tensor before its first row."""

    def __init__(
        self,
        info: CheckpointTensor,
        change: TensorChange,
        *,
        stored_as: str,
        base: Tensors,
        adapter: Adapter | None,
        merge_base: MergeBase,
        pool: Executor | None,
    ) -> None:
        """Round the whole tensor to NF4; read it once more for the norms of DoRA's columns."""
        self._info = info
        self._change = change
        self._stored_as = stored_as
        self._base = base
        self._adapter = adapter
        self._rounded: tuple[Bytes, nf4.QuantState] | None = None
        if merge_base != "original":
            self._rounded = self._round_trip(pool, double=merge_base == "nf4-double")
        self._lora = (
            load_lora(adapter.checkpoint, change.delta) if adapter and change.delta else None
        )
        if self._lora is not None and self._lora.magnitude is not None and self._lora.transposed:
            self._norms = self._column_norms(self._lora)

    def read(self, start: int, stop: int) -> Slab:
        """Rows [start, stop), merged."""
        change, before = self._change, self._before(start, stop)
        if change is NOTHING:
            return Slab(before)
        rows = before
        if self._lora is not None:
            rows = self._add(rows, self._lora, start, stop)
        if change.tokens is not None and self._adapter is not None:
            indices, key = change.tokens
            rows = rows.copy()
            for index, value in zip(indices, self._adapter.checkpoint.rows(key), strict=True):
                if start <= index < stop:
                    rows[index - start] = value
        if change.bias is not None:
            rows = rows + change.bias[start:stop]
        if change.replacement is not None:
            known = self._base.infos[self._stored_as].shape[0]
            before = self._base.rows(self._stored_as, min(start, known), min(stop, known))
        return Slab(rows, before)

    def _before(self, start: int, stop: int) -> Array:
        """The rows that the adapter's differences are added to."""
        if self._change.replacement is not None and self._adapter is not None:
            return self._adapter.checkpoint.rows(self._change.replacement, start, stop)
        if self._rounded is None:
            return self._base.rows(self._stored_as, start, stop)
        packed, state = self._rounded
        first, last = nf4.packed_range(state, start, stop)
        return nf4.dequantize_rows(packed[first:last], state, start, stop)

    def _round_trip(self, pool: Executor | None, *, double: bool) -> tuple[Bytes, nf4.QuantState]:
        """The whole matrix in NF4: a quarter of its bytes, kept so that it is read once.

        Its scales depend on all of it, with double quantization.
        """
        shape = self._info.shape
        columns = int(np.prod(shape[1:], dtype=np.int64))
        together = nf4.BLOCK // math.gcd(columns, nf4.BLOCK)  # rows that begin and end blocks

        def rounded(place: tuple[int, int]) -> tuple[Bytes, Array]:
            rows = self._base.rows(self._stored_as, *place)
            absmax = nf4.block_absmax(rows)
            return nf4.codes_of(rows, absmax), absmax

        run = map if pool is None else pool.map
        parts = list(run(rounded, slabs(shape, together)))
        packed = np.concatenate([codes for codes, _ in parts])
        absmax = np.concatenate([scales for _, scales in parts])
        scales = nf4.round_trip_absmax(absmax) if double else absmax
        return packed, nf4.QuantState(shape, nf4.BLOCK, "bfloat16", nf4.CODES, scales)

    def _add(self, rows: Array, lora: Lora, start: int, stop: int) -> Array:
        merged = lora.add(rows, start, stop)
        if lora.magnitude is None:
            return merged
        if not lora.transposed:  # a norm is that of a row
            squares = (merged.astype(np.float64) ** 2).sum(axis=1)
            norms: Array = np.sqrt(squares).astype(np.float32)
            return merged * (lora.magnitude[start:stop] / norms)[:, None]
        return merged * (lora.magnitude / self._norms)[None, :]

    def _column_norms(self, lora: Lora) -> Array:
        """Norms of the merged tensor's columns."""
        squares = np.zeros(self._info.shape[1], dtype=np.float64)
        for start, stop in slabs(self._info.shape):
            merged = lora.add(self._before(start, stop), start, stop).astype(np.float64)
            squares += (merged**2).sum(axis=0)
        return np.sqrt(squares).astype(np.float32)


def slabs(shape: tuple[int, ...], together: int = 1) -> Iterator[tuple[int, int]]:
    """Row ranges [start, stop) that cover a tensor, each of whole groups of `together` rows."""
    row = 4 * int(np.prod(shape[1:], dtype=np.int64))
    step = max(1, SLAB_BYTES // max(1, row) // together) * together
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def _replaces(base: tuple[int, ...], saved: tuple[int, ...]) -> bool:
    """Whether a saved matrix can replace the base's: it has the same width, and no fewer rows."""
    return bool(saved) and saved[1:] == base[1:] and saved[0] >= base[0]


def _is_shrunk(name: str, base: tuple[int, ...], saved: tuple[int, ...]) -> bool:
    """Whether a matrix of token rows was saved with fewer rows than the base has."""
    same_width = len(saved) == len(base) == 2 and saved[1] == base[1]
    return name in (EMBEDDING, HEAD) and same_width and saved[0] < base[0]


def _is_linear(name: str) -> bool:
    return name.endswith(tuple(f".{linear}.weight" for linear in LINEARS))
