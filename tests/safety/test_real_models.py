"""SmolLM2, the demo and quants of it, judged by a tiny guard: the files of a run, kill and resume.

The figures mean nothing, and the report says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hollow import MINI, NEMO, write_hollow

from relay_gguf.llama.native import lib
from relay_gguf.models.demo import Demo

pytestmark = pytest.mark.safety
COMMAND = [sys.executable, "-m", "relay_gguf", "safety"]
QUANTS = {"Q4_K_M": lib.LLAMA_FTYPE_MOSTLY_Q4_K_M, "Q2_K": lib.LLAMA_FTYPE_MOSTLY_Q2_K}


@pytest.fixture(scope="module")
def models(
    made_demo: Demo, smollm2_f16: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """SmolLM2 in F16; the demo in Q8_0, and what is made of that."""
    folder = tmp_path_factory.mktemp("models")
    found = [folder / path.name for path in (smollm2_f16, made_demo.path)]
    for path, source in zip(found, (smollm2_f16, made_demo.path), strict=True):
        path.symlink_to(source)
    for name, number in QUANTS.items():
        params = lib.llama_model_quantize_default_params()
        params.ftype, params.allow_requantize, params.nthread = number, True, 2
        path = folder / made_demo.path.name.replace("Q8_0", name)
        assert (
            lib.llama_model_quantize(str(made_demo.path).encode(), str(path).encode(), params) == 0
        )
        found.append(path)
    return found


@pytest.fixture
def arguments(models: list[Path], guard: Path, tmp_path: Path) -> list[str]:
    given = ["--questions", "trial", "--sample", "12", "--judge", str(guard), "--as-chat"]
    given += ["--max-tokens", "12", "--out", str(tmp_path / "run")]
    return [*map(str, models), *given]


def n_rows(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl"))


def test_killed_and_gone_on_with(arguments: list[str], tmp_path: Path) -> None:
    given, folder = arguments, tmp_path / "run"
    for place, least in ((folder / "answers", 20), (folder / "verdicts", 20)):
        with subprocess.Popen([*COMMAND, *given], stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and n_rows(place) < least:
                time.sleep(0.02)
            process.kill()
        assert n_rows(place) >= least
    done = subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=True)
    keys = [
        (path.name, json.loads(line)["key"])
        for path in (folder / "answers").iterdir()
        for line in path.read_text("utf-8").splitlines()
    ]
    # the Relays are asked a second time, as in a chat
    assert len(keys) == (1 + 2 * 3) * 12
    assert n_rows(folder / "verdicts" / "llama-guard-3") == len(keys)
    assert len(set(keys)) == len(keys), "nothing was asked twice"
    said = (folder / "report.md").read_text("utf-8")
    assert "say nothing about the safety of a model" in said
    assert "Its verdicts mean nothing" in done.stdout
    for ftype in ("Q8_0", "Q4_K_M", "Q2_K"):
        assert f"| relay-smollm2-135m-{ftype.replace('_', chr(92) + '_')} | {ftype} |" in said
        assert f"relay-smollm2-135m-{ftype.replace('_', chr(92) + '_')}.as-chat" in said
    ElementTree.fromstring((folder / "report.svg").read_text("utf-8"))
    assert (folder / "safety.md").read_text("utf-8").count("\n| ") >= 8


def test_a_model_of_12_and_a_judge_of_8_billion_are_planned(tmp_path: Path, smollm2: Path) -> None:
    """Files of their shapes, full of holes: memory and time are told, and nothing is loaded."""
    llama3 = MINI | {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
    }
    model = write_hollow(tmp_path / "relay-12b-Q4_K_M.gguf", NEMO, "Q4_K_M")
    judge = write_hollow(tmp_path / "llama-guard-3-8b-Q4_K_M.gguf", llama3, "Q4_K_M")
    given = [str(model), "--judge", str(judge), "--questions", "trial", "--dry-run", "--no-gpu"]
    done = subprocess.run(
        [*COMMAND, *given, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
    )
    print(done.stderr)  # noqa: T201
    first, second = done.stderr.splitlines()
    assert "relay-12b-Q4_K_M: 24 answers" in first
    assert "llama-guard-3: 24 answers" in second
    for line in (first, second):
        assert " GB of memory" in line
        assert " s each)" in line
