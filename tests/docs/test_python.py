"""The Python of the documentation: run on a small model, or bound to the API alone."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
from pathlib import Path

import pytest
from fences import PAGES, Fence, fences
from thorough import cases

import relay_gguf
from relay_gguf import RelayLM

SNIPPETS = [fence for page in PAGES for fence in fences(page) if fence.language == "python"]


RUN = [fence for fence in SNIPPETS if not fence.not_run]


@pytest.mark.parametrize("fence", cases(RUN, *RUN[:2]), ids=[*map(str, RUN)])
def test_a_snippet_runs(
    fence: Fence, pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(pico, tmp_path / "model.gguf")
    monkeypatch.chdir(tmp_path)
    exec(compile(fence.text, str(fence), "exec"), {"__name__": "__main__"})
    assert os.listdir(tmp_path) == ["model.gguf"]  # noqa: PTH208 - names alone


@pytest.mark.parametrize("fence", SNIPPETS, ids=str)
def test_what_a_snippet_imports_and_calls_is_there(fence: Fence) -> None:
    tree = ast.parse(fence.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module == "relay_gguf"
            assert {alias.name for alias in node.names} <= set(relay_gguf.__all__)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if ast.unparse(node.func.value) != "relay":
                continue
            keywords = {keyword.arg or "": None for keyword in node.keywords}
            signature = inspect.signature(getattr(RelayLM, node.func.attr))
            signature.bind(None, *node.args, **keywords)


def test_the_page_shows_all_that_is_public() -> None:
    (page,) = [page for page in PAGES if page.name == "python.md"]
    shown = {line[4:] for line in page.read_text("utf-8").splitlines() if line.startswith("::: ")}
    public = {f"relay_gguf.{name}" for name in relay_gguf.__all__ if name != "__version__"}
    assert shown == public
