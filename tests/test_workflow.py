"""The hosted checks are those of .ci/run, on each system, with no secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FILE = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))["jobs"]["check"]
    return found


def test_systems_and_pythons(job: dict[str, Any]) -> None:
    matrix = job["strategy"]["matrix"]
    systems = {name.partition("-")[0] for name in matrix["system"]}
    assert systems == {"ubuntu", "macos", "windows"}
    assert any(name.endswith("-arm") for name in matrix["system"])
    assert {"3.10", "3.13"} <= set(matrix["python"])


def test_what_runs_is_what_ci_run_does(job: dict[str, Any]) -> None:
    lines = {step.get("run", ""): step.get("if", "") for step in job["steps"]}
    assert lines[".ci/run"] == "runner.os != 'Windows'"
    truth = (ROOT / ".ci" / "run").read_text("utf-8")
    checks = re.findall(r"\.venv/bin/(\w+(?: [^$\n]*)?)", truth)
    checks = [line.partition('"')[0].strip() for line in checks]
    assert checks == ["pytest -m thorough", "ruff check .", "ruff format --check .", "mypy"]
    windows = "\n".join(line for line, where in lines.items() if where.endswith("'Windows' }}"))
    windows += "\n".join(line for line, where in lines.items() if where == "runner.os == 'Windows'")
    assert all(f".venv/Scripts/{check}" in windows for check in (*checks, "pytest"))


def test_the_pages_are_built_strictly_with_the_packages_of_the_docs_extra() -> None:
    steps = yaml.safe_load(FILE.read_text("utf-8"))["jobs"]["docs"]["steps"]
    lines = [step["run"] for step in steps if "run" in step]
    assert '["optional-dependencies"]["docs"]' in lines[0]
    assert lines[1] == "mkdocs build --strict"
    assert (ROOT / "mkdocs.yml").exists()


def test_it_needs_no_secret_and_may_change_nothing() -> None:
    text = FILE.read_text("utf-8")
    assert "secrets" not in text
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}


def test_what_is_kept_depends_on_the_processor_and_the_flags(job: dict[str, Any]) -> None:
    (key,) = [step["with"]["key"] for step in job["steps"] if step.get("id") == "cache"]
    assert all(word in key for word in ("matrix.system", "outputs.cpu", "package", "build.cmake"))
