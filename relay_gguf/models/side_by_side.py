"""How many conversations one model answers at once: as many as memory has room for.

Each has the context that it would have alone, and a cache of its own; those that wait stay in RAM.
Where they must share fewer contexts than they are, these are one pool, and those that wait stay in
it until their cells are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from relay_gguf.errors import MemoryShortError, SettingsError
from relay_gguf.fit.memory import padded
from relay_gguf.fit.placement import Plan
from relay_gguf.fit.plan import LoadOptions

USUAL: Final = 4
"""Conversations that are answered at once, where memory has room for them."""


def side_by_side(
    path: Path, options: LoadOptions, wanted: int | None, n_kept: int
) -> tuple[int, LoadOptions]:
    """How many conversations are answered at once, and the options to load a model with.

    Args:
        path: a GGUF file.
        options, wanted, n_kept: as for `fitting`.

    Raises:
        ModelError: the file cannot be used.
        MemoryShortError: not even one fits into memory.
        SettingsError: several at once are wanted with workers, or as `fit.plan.fit`.
    """
    if options.workers and wanted not in (None, 1):
        raise SettingsError(
            "With --worker conversations take turns: take --slots 1, or leave the workers out."
        )
    if options.workers or wanted == 1:
        return 1, options
    from relay_gguf.gguf_file.gguf_model import read_gguf
    from relay_gguf.llama.inventory import this_machine
    from relay_gguf.llama.load import check_file, plan_file

    check_file(path)
    facts = read_gguf(path)
    facts.check()
    sizes, machine = facts.sizes(), this_machine(timed=False)
    if wanted is None and not sizes.kv_width:  # no cells, but a state for each conversation
        return 1, options
    return fitting(partial(plan_file, path, sizes, machine), options, wanted, n_kept)


def fitting(
    plan: Callable[[LoadOptions], Plan], options: LoadOptions, wanted: int | None, n_kept: int
) -> tuple[int, LoadOptions]:
    """How many conversations are answered at once, and the options for that.

    Args:
        plan: makes the best plan with some options.
        options: the user's, for one conversation.
        wanted: by the user, who has so many even if they must share fewer contexts; None for
            `USUAL` at most, and fewer where that many would cost a conversation some of its
            context, its precision or its layers on a GPU.
        n_kept: conversations that may be in a pool at once; together they have as many tokens as
            those that are answered at once.

    Raises:
        MemoryShortError: not even one fits into memory.
        SettingsError: as `fit.plan.fit`.
    """
    alone = plan(options)
    most, n_ctx = wanted or USUAL, alone.settings.n_ctx
    fewer = range(most, 1, -1) if wanted is None else [most >> n for n in range(most.bit_length())]
    for n_contexts in fewer:
        apart = wanted in (None, n_contexts)  # a context for each
        several = replace(
            options,
            n_ctx=n_ctx,
            n_slots=n_contexts if apart else max(most, n_kept),
            n_cells=n_contexts * (padded(n_ctx) if apart else n_ctx),
            kv_unified=not apart,
        )
        with suppress(MemoryShortError):
            found = plan(several)
            if wanted is not None:
                return wanted, several
            if _devices(found) == _devices(alone):
                return n_contexts, several
    return 1, options


def _devices(plan: Plan) -> tuple[int, str]:
    """What a conversation gets: layers on GPUs, and a type of cache."""
    return plan.settings.n_gpu_layers, plan.settings.kv_type
