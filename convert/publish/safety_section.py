"""The model card's section on safety: safety.md of the folder, as `relay-gguf safety` wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

NAME: Final = "safety.md"
MARK: Final = "<!-- relay-gguf safety: a section for the model card -->"
"""Begins the section; a file of that name without it is somebody else's."""
BEFORE: Final = "\n## How they were made\n"
"""The section of the page that it stands before."""


def read_section(folder: Path) -> str:
    """The section, without its mark; empty where the folder has none.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        text = (folder / NAME).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return text.removeprefix(MARK).strip() if text.startswith(MARK) else ""


def with_section(page: str, section: str) -> str:
    """The page of a folder with a section in it; as it was if the section is empty."""
    if not section:
        return page
    return page.replace(BEFORE, f"\n{section}\n{BEFORE}", 1)
