"""The recipe for a trainer: a configuration for axolotl, or a script with PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from relay_gguf.dataset.jsonl import held_out_path
from relay_gguf.errors import SettingsError

from .axolotl import recipe
from .data_form import is_sharegpt
from .peft_script import peft_script

TRAINERS: Final = ("axolotl", "peft")


def recipe_for(trainer: str, base: str, data: Path, *, chatml: bool) -> str:
    """The text of a recipe.

    Args:
        trainer: one of TRAINERS.
        base: a folder, or `owner/name` on the hub.
        data: the data set; what was held out of it is found beside it.
        chatml: the base has ChatML's tokens, even if its tokenizer is not known.

    Raises:
        SettingsError: there is no such trainer, or the data or the base's tokenizer cannot be read.
    """
    if trainer not in TRAINERS:
        raise SettingsError(f"--trainer must be {' or '.join(TRAINERS)}, not {trainer}.")
    sharegpt, beside = is_sharegpt(data), held_out_path(data)
    held_out = beside if beside.exists() else None
    if trainer == "peft":
        return peft_script(base, data, held_out, chatml=chatml)
    return recipe(base, data, held_out, sharegpt=sharegpt, chatml=chatml)
