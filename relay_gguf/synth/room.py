"""How many scenes at once fit into memory, and with how many tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from relay_gguf.errors import MemoryShortError, SettingsError
from relay_gguf.fit.memory import padded
from relay_gguf.fit.plan import LoadOptions

from .prompts.scene_prompt import ScenePrompts
from .stop_rules import SceneLimits

if TYPE_CHECKING:
    from relay_gguf.gguf_file.gguf_model import GgufModel

USUAL: Final = 8
"""Scenes at once, where memory has room."""
BYTES: Final = 2.0
"""Bytes of a token of a prompt at least, as this is planned: chat in English has 3.5."""
SHARE: Final = 0.5
"""Share of a scene's most tokens that is kept free for each: few become so long."""


def load_options(
    model: GgufModel,
    options: LoadOptions,
    prompts: ScenePrompts,
    limits: SceneLimits,
    wanted: int | None,
) -> LoadOptions:
    """The options to load a model with, for as many scenes at once as are wanted and fit.

    Args:
        model: its header.
        options: the user's: devices, type of cache, and `n_ctx` for a prompt with its scene.
        prompts: of the run.
        limits: of its scenes.
        wanted: scenes at once; None for `USUAL`, or as many as memory has room for.

    Raises:
        MemoryShortError: not one scene, or not so many as the user wants, fit into memory.
        SettingsError: with workers, or as `fit.plan.fit`.
    """
    if options.workers:
        raise SettingsError("`synth` cannot use workers: give each machine a --range of its own.")
    from relay_gguf.llama.inventory import this_machine
    from relay_gguf.llama.load import plan_file

    sizes, machine = model.sizes(), this_machine(timed=False)
    prompt = _longest(prompts)
    n_ctx = options.n_ctx or min(padded(prompt + limits.max_tokens), sizes.n_ctx_train)
    count = wanted or USUAL
    while True:
        n_cells = padded(n_ctx + int((count - 1) * SHARE * (limits.max_tokens + 256)))
        found = replace(options, n_ctx=n_ctx, n_slots=count, n_cells=n_cells if count > 1 else None)
        try:
            plan_file(model.path, sizes, machine, found)
        except MemoryShortError:
            if wanted is not None or count == 1:
                raise
            count //= 2
        else:
            return found


def _longest(prompts: ScenePrompts) -> int:
    """Tokens of the longest prompt, about: the longest examples, and a head with a starter."""
    sizes = sorted((len(each.text(prompts.style).encode()) for each in prompts.pool), reverse=True)
    return int(sum(sizes[: prompts.n_examples]) / BYTES) + 512
