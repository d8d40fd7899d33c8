"""A conversion as it is planned, and JSON files that are changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conversions import request
from hf_tokenizers import dump_json, load_json

from relay_gguf.convert.job import ConversionJob, prepare


def edit(path: Path, **changes: Any) -> None:
    dump_json(path, load_json(path) | changes)


def planned(base: Path, adapter: Path | None = None) -> ConversionJob:
    return prepare(request(base, "Q8_0", adapter=adapter))
