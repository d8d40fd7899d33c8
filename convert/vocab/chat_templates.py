"""The chat templates of a tokenizer, as the gguf package writes them."""

from __future__ import annotations

import re
from typing import Any

from gguf import GGUFWriter, Keys


def sound_templates(given: object) -> Any:
    """A text, or a list of templates that have each a name of their own and a text; None else.

    The gguf package spells names with letters, digits and _, and writes two of a name as one key.
    """
    if isinstance(given, str):
        return given
    kept: dict[str, dict[str, str]] = {}
    for entry in given if isinstance(given, list) else ():
        found = entry if isinstance(entry, dict) else {}
        name, template = found.get("name"), found.get("template")
        if isinstance(name, str) and isinstance(template, str):
            kept.setdefault(re.sub("[^a-zA-Z0-9]", "_", name), {"name": name, "template": template})
    return list(kept.values()) or None


def sort_names(writer: GGUFWriter) -> None:
    """Sort the list of the templates' names: the gguf package has it from a set of texts.

    Their order there depends on PYTHONHASHSEED, and so did the bytes of a file.
    """
    for values in writer.kv_data:
        if (names := values.get(Keys.Tokenizer.CHAT_TEMPLATES)) is not None:
            names.value = sorted(names.value)
