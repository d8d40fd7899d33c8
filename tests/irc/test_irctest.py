"""irctest, the public conformance suite, where a checkout of it is at hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import relay_gguf

MARKERS = "not services and not implementation-specific and not deprecated"
"""The tests for a server without services; docs/irc.md says why not the deprecated ones."""


@pytest.mark.clients
def test_the_conformance_suite_passes() -> None:
    if not (folder := os.environ.get("IRCTEST")):
        pytest.skip("IRCTEST names no checkout of https://github.com/progval/irctest")
    ours = (Path(relay_gguf.__file__).parents[1], Path(__file__).parent)
    command = ["-m", "pytest", "-q", "-rf", "--tb=no", "--controller", "irctest_controller"]
    run = subprocess.run(
        [sys.executable, *command, "-m", MARKERS, "irctest/server_tests"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ours))},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = set(re.findall(r"^FAILED (\S+)", run.stdout, re.MULTILINE))
    assert re.search(r"\d+ passed", run.stdout), run.stdout[-2000:] + run.stderr
    assert failed == set()
