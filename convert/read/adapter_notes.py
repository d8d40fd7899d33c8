"""What a user should know of an adapter before it is merged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .adapter import Adapter, changes_nothing
from .source import AdapterSource, repository_of


def adapter_notes(given: AdapterSource, base: str) -> Iterator[str]:
    """What a user should know of an adapter before it is merged into a base of this label."""
    told = str(given.adapter.config.get("base_model_name_or_path") or "")
    named = repository_of(Path(told)) or told
    if named.count("/") == 1 and not named.startswith(("/", ".", "~")):
        ours, theirs = (_plain(name.rpartition("/")[2]) for name in (base, named))
        if ours not in theirs and theirs not in ours:
            yield f"The adapter was trained on {named}, by its own words, not on {base}."
    if lost := _not_saved(given.adapter):
        yield (
            f"By its settings, the training changed {', '.join(lost)}, and the adapter's file has "
            "nothing of that: the base's stays. Was it saved by a tool that leaves it out?"
        )
    if changes_nothing(given.adapter):
        yield (
            "The adapter changes nothing: every lora_A or lora_B is zero, as before training. The "
            "files will be the base's."
        )
    if (given.folder / "new_embeddings.safetensors").exists():
        yield (
            "new_embeddings.safetensors beside the adapter is not read, nor does PEFT read it: "
            "tokens that it has rows for keep those of the base."
        )


def _not_saved(adapter: Adapter) -> list[str]:
    """What an adapter's settings call trained as a whole, and its file does not have."""
    named = adapter.config.get("modules_to_save")
    there = [f".{name}." for name in adapter.changes]
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    lost = [name for name in names if not any(f".{name}." in changed for changed in there)]
    tokens = any(change.tokens for change in adapter.changes.values())
    if adapter.config.get("trainable_token_indices") and not tokens:
        lost.append("single tokens (trainable_token_indices)")
    return lost


def _plain(name: str) -> str:
    """A model's name without what the same model may have in other places."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"-(?:unsloth-)?bnb-4bit$", "", name.lower()))
