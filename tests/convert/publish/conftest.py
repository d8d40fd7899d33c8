"""Fixtures: folders as a conversion leaves them, with and without a model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from published_folders import Folder, save_report
from tiny_gguf import good_keys, write

from relay_gguf.convert.publish.folder import write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with the files of some types, and a report of each."""
    out = tmp_path / "models"

    def make(*ftypes: str, keys: Mapping[str, Any] | None = None, **changes: Any) -> Path:
        out.mkdir(exist_ok=True)
        for ftype in ftypes:
            number = {"F16": 1, "Q8_0": 7, "Q4_K_M": 15, "Q2_K": 10}[ftype]
            given = good_keys() | {"general.file_type": number} | dict(keys or {})
            path = write(out / f"tiny-{ftype}.gguf", given, lacking=-32 * number)
            save_report(path, type=ftype, **changes)
        return out

    return make


@pytest.fixture
def ready(folder: Folder) -> Path:
    """A folder with its page, and things that do not belong to it."""
    out = folder("Q8_0", "Q4_K_M")
    write_folder(out, "o/r")
    (out / "LICENSE").write_text("terms")
    for name in (".relay-gguf-convert.journal", "x.gguf.partial", "y.relay-gguf-partial", ".git"):
        (out / name).write_text("unfinished")
    (out / "sub").mkdir()
    return out
