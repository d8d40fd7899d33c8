"""The page's own logic in node, without a browser: what lines make of places, what is sent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from programs import needs

import relay_gguf.irc.web

CASES = Path(__file__).with_name("page_cases.mjs")
NAMES = re.findall(r'^  "(.*)": \(\) => \{$', CASES.read_text("utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What is wrong in each case, of one run of all."""
    needs("node")
    folder = tmp_path_factory.mktemp("page")
    for file in (files(relay_gguf.irc.web) / "page").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "package.json").write_text('{"type": "module"}')  # which browsers need not be told
    run = subprocess.run(
        [shutil.which("node") or "node", CASES, folder], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    seen: dict[str, str | None] = json.loads(run.stdout)
    assert list(seen) == NAMES
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_the_page_without_a_browser(name: str, found: dict[str, str | None]) -> None:
    assert found[name] is None
