"""The JSON files of a model or an adapter."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any, Final, TypeGuard

from relay_gguf.errors import ConversionError

LARGEST: Final = 3.4e38
"""The largest number of 32 bits, which GGUF has for fractions."""
MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHECKPOINT: Final = re.compile(r"checkpoint-(\d{1,18})")


def read_config(folder: Path) -> dict[str, Any]:
    """The object in the config.json of a model's folder.

    Raises:
        ConversionError: the file is missing or cannot be read, or is not a JSON object.
    """
    path = folder / "config.json"
    if not path.exists():
        hint = ""
        if (folder / "adapter_config.json").exists():
            hint = " It is an adapter: give it as --adapter, behind the base that it belongs to."
        elif (folder / "params.json").exists():
            hint = (
                " It is in Mistral's own format (params.json). Give the model in Hugging Face's "
                "format, with config.json: most repositories of Mistral have both."
            )
        elif (newest := newest_checkpoint(folder)) is not None:
            hint = f" It holds checkpoints; the newest is {newest}. Give that folder."
        raise ConversionError(f"{folder} has no config.json.{hint}")
    refuse_pipes(folder)
    return read_object(path)


def refuse_pipes(folder: Path) -> None:
    """Refuse a folder with a pipe or a device among its files: reading one may wait for ever.

    Raises:
        ConversionError: it has one.
    """
    for path in folder.iterdir():
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ConversionError(f"{path} is a pipe or a device. Put a file in its place.")


def newest_checkpoint(folder: Path) -> Path | None:
    """The `checkpoint-N` of the most steps in the output folder of a training; None without one."""
    found = [
        (int(match[1]), path)
        for path in folder.glob("checkpoint-*")
        if (match := _CHECKPOINT.fullmatch(path.name)) and path.is_dir()
    ]
    return max(found)[1] if found else None


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of JSON is a number, and neither NaN nor too large for GGUF."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -LARGEST <= value <= LARGEST


def refuse_mark(path: Path) -> None:
    """Refuse a text that begins with a byte order mark, as UTF-16 does, and "UTF-8 with BOM".

    Neither transformers nor the gguf package reads such a file.

    Raises:
        ConversionError: it does.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(3).startswith(MARKS):
            raise ConversionError(
                f"{path} begins with a byte order mark. Save it as UTF-8 without one."
            )


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ConversionError: the file cannot be read, or is not a JSON object.
    """
    try:
        refuse_mark(path)
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConversionError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise ConversionError(f"{path} is not JSON: {error}.") from error
    except RecursionError as error:
        raise ConversionError(f"{path} is not a config: it is nested too deeply.") from error
    if not isinstance(found, dict):
        raise ConversionError(f"{path} is not a config: it holds no JSON object.")
    return found
