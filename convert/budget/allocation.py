"""A model and a size → a type for each tensor, and what is predicted of the file."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from relay_gguf.convert.arch.weights import FLOATS, Tensor, Weights
from relay_gguf.convert.quantize.ftypes import Type
from relay_gguf.convert.read.arrays import Array
from relay_gguf.convert.write.layout import padded, tensor_bytes
from relay_gguf.convert.write.targets import QuantTarget
from relay_gguf.display import size
from relay_gguf.errors import ConversionError

from .candidates import candidates
from .damage import Errors, damage_of, measure, module
from .knapsack import Selection, TypeOption, select, smallest
from .size_target import SizeTarget

CHOSEN: Final = re.compile(r"I?Q\d\w{0,6}-\d{1,2}\.\d\dbpw")
"""The name of a type whose tensors were chosen, see `Allocation.label`."""
MOST_TRIES: Final = 5
"""How often the room is lessened where shards need more headers than were counted."""

Watch = Callable[[int, int], None]
"""Is told how many tensors of how many are measured."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The types that were chosen for a file.

    Attributes:
        target: the size that was asked for.
        limit: the most bytes of the file.
        standard: the file type of llama.cpp whose size is nearest, without its files.
        standard_bytes: the size of its file.
        types: tensor → its type.
        bits: per weight, of the whole model.
        damage: tensor → the divergence that is predicted of its type, in nats.
        standard_damage: the sum of that in the standard file.
        bound: the least sum that any choice of this size could have.
    """

    target: SizeTarget
    limit: int
    standard: QuantTarget
    standard_bytes: int
    types: Mapping[str, Type]
    bits: float
    damage: Mapping[str, float]
    standard_damage: float
    bound: float

    @property
    def label(self) -> str:
        """The name of the type, `Q4_K_M-4.85bpw`: the nearest of llama.cpp's, and the bits."""
        return f"{self.standard.ftype}-{self.bits:.2f}bpw"

    @property
    def predicted(self) -> float:
        """The divergence of the file, in nats."""
        return sum(self.damage.values())


def allocate(
    weights: Weights,
    tensors: Sequence[Tensor],
    target: SizeTarget,
    standards: Sequence[QuantTarget],
    size_of: Callable[[Mapping[str, Type]], int],
    *,
    importance: Mapping[str, Array] | None = None,
    fixed: Mapping[str, Type] | None = None,
    n_threads: int | None = None,
    watch: Watch = lambda done, total: None,
) -> Allocation:
    """Measure what each type would do to each tensor, and choose.

    Args:
        weights: the source of the rows.
        tensors: of the file.
        target: the size that is asked for.
        standards: llama.cpp's file types, planned; the nearest in size is compared with.
        size_of: the bytes of the file, or of all shards, with these types.
        importance: the weights of an imatrix, by tensor name.
        fixed: types of tensors that the user has asked for.
        n_threads: number of threads that measure; None for one for each core.
        watch: is told how many tensors are done.

    Raises:
        ConversionError: the target is below the smallest possible size, or a value is not finite.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    n_weights = sum(tensor.size for tensor in tensors)
    header = size_of(standards[0].types) - _bytes_of(by_name, standards[0].types)
    limit = target.limit(header, n_weights)
    sizes = [size_of(each.types) for each in standards]
    nearest = min(range(len(sizes)), key=lambda at: abs(math.log(sizes[at] / max(limit, 1))))
    standard = standards[nearest]
    floats = {name: kind for name, kind in standard.types.items() if kind in FLOATS}
    room = max(0, limit - header - _bytes_of(by_name, floats))
    kinds = candidates(
        tensors,
        standard.types,
        bits=8 * room / max(1, n_weights - sum(by_name[name].size for name in floats)),
        importance=importance,
        fixed=fixed or {},
    )
    _refuse_too_small(by_name, kinds, target, header, limit, weighed=importance is not None)
    open_ = [tensor for tensor in tensors if len(kinds[tensor.name]) > 1]
    wanted = {t.name: dict.fromkeys((*kinds[t.name], standard.types[t.name])) for t in open_}
    errors: dict[str, Errors] = {}
    threads = n_threads or os.cpu_count() or 1
    watch(0, len(open_))
    found = measure(
        weights,
        open_,
        {name: tuple(each) for name, each in wanted.items()},
        n_threads=threads,
        importance=importance,
    )
    for name, each in found:
        errors[name] = each
        watch(len(errors), len(open_))

    n_alike = Counter(module(name) for name in errors)
    known = importance or {}

    def damage(name: str, kind: Type) -> float:
        if name not in errors:
            return 0.0
        return damage_of(name, errors[name][kind], n_alike[module(name)], weighed=name in known)

    options = {
        name: [
            TypeOption(kind, padded(tensor_bytes(by_name[name], kind)), damage(name, kind))
            for kind in each
        ]
        for name, each in kinds.items()
    }
    selection = _within(options, size_of, limit, limit - header)
    types = {name: option.kind for name, option in selection.chosen.items()}
    return Allocation(
        target=target,
        limit=limit,
        standard=standard,
        standard_bytes=sizes[nearest],
        types={name: types[name] for name in standard.types},
        bits=8 * selection.n_bytes / n_weights,
        damage={name: damage(name, types[name]) for name in standard.types},
        standard_damage=sum(damage(name, kind) for name, kind in standard.types.items()),
        bound=selection.bound,
    )


def _within(
    options: Mapping[str, Sequence[TypeOption]],
    size_of: Callable[[Mapping[str, Type]], int],
    limit: int,
    room: int,
) -> Selection:
    """The selection whose files, with the headers of all shards, are within the limit.

    Raises:
        ConversionError: the shards' headers leave no room.
    """
    for _ in range(MOST_TRIES):
        if room < smallest(options):
            break
        selection = select(options, room)
        over = size_of({name: option.kind for name, option in selection.chosen.items()}) - limit
        if over <= 0:
            return selection
        room -= over
    raise ConversionError(
        "The headers of so many shards leave no room for the model: give --split-max-size more."
    )


def _refuse_too_small(
    tensors: Mapping[str, Tensor],
    kinds: Mapping[str, Sequence[Type]],
    target: SizeTarget,
    header: int,
    limit: int,
    *,
    weighed: bool,
) -> None:
    """Refuse a target that no choice of types can meet.

    Raises:
        ConversionError: the smallest file is larger.
    """
    least = {name: min(tensor_bytes(tensors[name], kind) for kind in kinds[name]) for name in kinds}
    of_tensors = sum(map(padded, least.values()))
    n_bytes = header + of_tensors
    if n_bytes <= limit:
        return
    bits = 8 * of_tensors / sum(tensor.size for tensor in tensors.values())
    more = "" if weighed else " With an importance matrix (--imatrix) there are smaller types."
    raise ConversionError(
        f"{target.in_words} is below the smallest file that can be made of this model: "
        f"{n_bytes:,} bytes ({size(n_bytes)}), {math.ceil(bits * 100) / 100:g} bits per weight."
        f"{more}"
    )


def _bytes_of(tensors: Mapping[str, Tensor], types: Mapping[str, Type]) -> int:
    """Of the data of tensors in a file."""
    return sum(padded(tensor_bytes(tensors[name], kind)) for name, kind in types.items())
