"""The tokenizer of a base: its special tokens, and whether it has those of ChatML."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import SettingsError

CONTROL: Final = ("<|im_start|>", "<|im_end|>")
NEMO: Final = {"bos_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>"}
"""Mistral-Nemo's own special tokens."""
_REPO: Final = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class BaseTokenizer:
    """The special tokens of a base's tokenizer, and whether it has those of ChatML.

    `is_known` is False for a base on the hub that is not a Mistral.
    """

    special: dict[str, str]
    has_chatml: bool
    is_known: bool = True


def base_tokenizer(base: str) -> BaseTokenizer:
    """The tokenizer in a folder; for a Mistral on the hub, that of Mistral-Nemo-Base.

    Raises:
        SettingsError: `base` is neither a folder nor a name on the hub, or its tokenizer cannot
            be read.
    """
    folder = Path(base)
    if not folder.is_dir():
        if base.startswith((".", "/", "~")):
            raise SettingsError(f"There is no folder {base}. Check the path.")
        if folder.exists() or not _REPO.fullmatch(base):
            raise SettingsError(f"{base} is neither a folder nor OWNER/NAME of a base on the hub.")
        if "mistral" not in base.lower():
            return BaseTokenizer({}, has_chatml=False, is_known=False)
        return BaseTokenizer(dict(NEMO), has_chatml=False)
    if not (folder / "tokenizer.json").exists():
        raise SettingsError(f"The folder {folder} has no tokenizer.json, which a base needs.")
    tokenizer = _json(folder / "tokenizer.json")
    added = {token.get("content") for token in tokenizer.get("added_tokens", ())}
    config = folder / "tokenizer_config.json"
    said = _json(config) if config.exists() else {}
    special = {
        name: value if isinstance(value, str) else value.get("content", "")
        for name in ("bos_token", "unk_token", "pad_token")
        if (value := said.get(name))
    }
    return BaseTokenizer(special, added >= set(CONTROL))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"Cannot read {path}: {error}.") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{path} does not hold a JSON object.")
    return found
