"""Pages that the program writes are as it would write them now."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from fences import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is a script."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_as_docs_generate_py_writes_them(generate: ModuleType) -> None:
    pages: dict[Path, str] = generate.pages()
    assert {page.name for page in pages} == {"chat.md", "how-it-is-built.md", "reference.md"}
    for page, text in pages.items():
        assert page.read_text("utf-8") == text, "run: python docs/generate.py"


def test_every_folder_and_file_says_what_it_is(generate: ModuleType) -> None:
    silent = [line for line in generate.folders().splitlines() if line.endswith("|  |")]
    assert silent == []


def test_a_page_without_its_marks_is_an_error(generate: ModuleType) -> None:
    with pytest.raises(ValueError, match="no marks"):
        generate._between("# Page\n", "commands", "text")
