"""Character cards in files: JSON of the forms V1, V2 and V3, alone or in a PNG image."""

from __future__ import annotations

import binascii
import json
import re
import shlex
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from relay_gguf.conversation.messages import savable
from relay_gguf.errors import CardError

from .card import Card
from .png_text import MAX_TEXT, SIGNATURE, texts

ENDINGS: Final = (".png", ".json")
KEYWORDS: Final = ("ccv3", "chara")
"""Keywords of the texts that hold a card in an image, the newer form first."""
_LEFT_OUT: Final = {
    "greeting": ("first_mes", "alternate_greetings", "group_only_greetings"),
    "example messages": ("mes_example",),
    "instructions": ("system_prompt", "post_history_instructions"),
    "lorebook": ("character_book",),
}
_TEXTS: Final = ("description", "personality", "scenario", "first_mes", "mes_example")


def read_card(path: str | Path) -> Card:
    """Read a character card, a PNG image or a JSON file, in any of the forms V1, V2 and V3.

    Args:
        path: the file.

    Raises:
        CardError: there is no such file, it holds no card, or it is damaged.
    """
    path = Path(path)
    card = find_card(path)
    if card is None:
        raise CardError(
            f"{path.name} is not a character card: it has no character's name and description. "
            "Cards are PNG images or JSON files from SillyTavern and other role-play programs."
        )
    return card


def find_card(path: Path) -> Card | None:
    """The card in a file as `read_card`; None if the file is whole and holds none."""
    try:
        return _read(path)
    except CardError as error:
        why = str(error)
    except OSError as error:
        why = error.strerror or type(error).__name__
    raise CardError(f"Cannot read {path.name} as a character card: {why}.")


def named_file(text: str) -> Path | None:
    """The PNG or JSON file whose name a typed text is, quoted or not; None if there is none."""
    spellings = [text]
    if text[:1] in ("'", '"') or "\\" in text:  # as a terminal writes a file dropped on it
        try:
            words = shlex.split(text)
        except ValueError:
            words = []
        spellings += words if len(words) == 1 else []
    for spelling in spellings:
        if not spelling.lower().endswith(ENDINGS):
            continue
        try:
            path = Path(spelling).expanduser()
            if path.is_file():
                return path
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, a home that is not there
            continue
    return None


def _read(path: Path) -> Card | None:
    with path.open("rb") as file:
        is_image = file.read(len(SIGNATURE)) == SIGNATURE
        file.seek(0)
        if not is_image:
            if path.suffix.lower() == ".png":
                return None
            data = file.read(MAX_TEXT + 1)
            if len(data) > MAX_TEXT:
                raise CardError(f"it has more than {MAX_TEXT} bytes")
            return _card(data)
        found = texts(file, KEYWORDS)
    for keyword in KEYWORDS:
        if keyword in found:
            try:
                data = b64decode(b"".join(found[keyword].split()), validate=True)
            except binascii.Error as error:
                raise CardError(f"its text {keyword} is not base64") from error
            card = _card(data)
            if card is None:
                raise CardError(f"its text {keyword} has no character's name and description")
            return card
    return None


def _card(data: bytes) -> Card | None:
    """The card in a JSON text; None if that is something else.

    Raises:
        CardError: it is not JSON.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise CardError("its JSON is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise CardError("it is not JSON in UTF-8") from error
    except json.JSONDecodeError as error:
        raise CardError(f"it is not JSON (line {error.lineno}, column {error.colno})") from error
    except ValueError as error:  # a number of thousands of digits
        raise CardError("a number in its JSON is too long") from error
    if not isinstance(value, dict):
        return None
    inner = value.get("data")
    fields: Mapping[str, Any] = inner if isinstance(inner, dict) else value
    name = _text(fields, "nickname") or _text(fields, "name")
    if not name or not any(key in fields for key in _TEXTS):
        return None
    return Card(
        name=re.sub(r"\s+", " ", name),
        description=_text(fields, "description"),
        personality=_text(fields, "personality"),
        scenario=_text(fields, "scenario"),
        left_out=tuple(
            what for what, keys in _LEFT_OUT.items() if any(fields.get(key) for key in keys)
        ),
    )


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return savable(value).strip() if isinstance(value, str) else ""
