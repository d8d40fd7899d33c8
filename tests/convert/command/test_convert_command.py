"""`relay-gguf convert` from end to end: what it prints, what the files say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conversions import Pair
from printed import ran

from relay_gguf.cli.app import main
from relay_gguf.cli.convert.convert import BLAS_THREADS
from relay_gguf.gguf_file.header import read_header

SCRIPT = Path(sysconfig.get_path("scripts"), "relay-gguf")


@pytest.mark.thorough
@pytest.mark.parametrize("ftype", ["Q8_0", "Q4_K_M"])
def test_a_merged_model_talks(ftype: str, real_files: Path) -> None:
    path = real_files / f"relay-smollm2-135m-{ftype}.gguf"
    options = ["--plain", "--seed", "1", "--temperature", "0", "--threads", "1"]
    done = subprocess.run(
        [SCRIPT, "chat", path, *options],
        input="/join #naples\nhi! where are you from?\n",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()[-1]
    assert said.startswith("<user> ")
    assert "naples" in said.lower()


def test_matrices_are_multiplied_by_one_thread_unless_the_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slabs have threads of their own."""
    mine, *others = BLAS_THREADS
    monkeypatch.setenv(mine, "5")
    for variable in others:
        monkeypatch.setenv(variable, "")  # so that it is as it was after the test
        monkeypatch.delenv(variable)
    with pytest.raises(SystemExit):
        main(["convert", str(tmp_path / "none"), "-q", "Q8_0", "-o", str(tmp_path / "out")])
    assert [os.environ[variable] for variable in BLAS_THREADS] == ["5", "1", "1"]


THREE = ("--quant", "F16", "--quant", "q4_k_m", "--quant", "Q2_K")
PLAN = """\
pico-relay merged into Pico-Mistral (original): 16 of 21 tensors change
F16         2 MB  out/pico-relay-F16.gguf
        16 F16, 5 F32
Q4_K_M    768 KB  out/pico-relay-Q4_K_M.gguf
        11 Q4_K, 5 F32, 3 Q6_K, 2 Q5_0
Q2_K      506 KB  out/pico-relay-Q2_K.gguf
        9 Q2_K, 5 F32, 4 Q3_K, 2 Q4_0, 1 Q6_K
attn_k: 2 of 2 changed by the adapter
attn_output: 2 of 2 changed by the adapter
attn_q: 2 of 2 changed by the adapter
attn_v: 2 of 2 changed by the adapter
ffn_down: 2 of 2 changed by the adapter
ffn_gate: 2 of 2 changed by the adapter
ffn_up: 2 of 2 changed by the adapter
output: 1 of 1 changed by the adapter
token_embd: 1 of 1 changed by the adapter
disk: 3,713,504 bytes; memory: about 254 MB
Note: Nothing in the adapter's folder tells of training in 4 bits. If it was trained so (QLoRA), \
--merge-base nf4-double keeps more of what it learned.
"""


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    convert: Sequence[object], capfd: pytest.CaptureFixture[str]
) -> None:
    assert ran(capfd, *convert, *THREE, "--dry-run") == PLAN
    assert not Path("out").exists()
    (plan,) = map(json.loads, ran(capfd, *convert, *THREE, "--dry-run", "--json").splitlines())
    assert plan["event"] == "plan"
    assert plan["bytes"] == sum(file["bytes"] for file in plan["files"]) == 3_713_504
    assert plan["tensors"]["Q2_K"] == {"Q2_K": 9, "F32": 5, "Q3_K": 4, "Q4_0": 2, "Q6_K": 1}
    assert plan["coverage"]["attn_q"] == [2, 2]
    assert ran(capfd, *convert, *THREE, "--dry-run", "--quiet") == ""
    assert not Path("out").exists()


def test_a_dry_run_refuses_what_the_run_refuses(
    convert: Sequence[object], capfd: pytest.CaptureFixture[str]
) -> None:
    ran(capfd, *convert, "--quant", "Q8_0", "--quiet")
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    said = []
    for more in ((), ("--dry-run",)):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in (*convert, "--quant", "Q8_0", "--quiet", *more)])
        assert exit_.value.code == 1
        said.append(capfd.readouterr().err)
    expected = Path("out/pico-relay-Q8_0.gguf")
    assert said == [f"relay-gguf: {expected} exists. --force replaces it.\n"] * 2
    ran(capfd, *convert, "--quant", "Q8_0", "--quiet", "--dry-run", "--force")
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == before


def test_the_result_is_a_table_of_the_files(
    convert: Sequence[object], capfd: pytest.CaptureFixture[str]
) -> None:
    plan, _, table = ran(capfd, *convert, *THREE).partition("\n\n")
    assert plan.splitlines() == [
        line for line in PLAN.splitlines() if line.startswith(("pico", "F16", "Q", "Note"))
    ]
    title, *rows, moved, proof, figures, folder = table.splitlines()
    assert folder == "out has SHA256SUMS, README.md."
    assert title.split() == ["type", "size", "error", "sha256"]
    reports = {t: json.loads(Path(f"out/pico-relay-{t}.report.json").read_text()) for t in PLANNED}
    for row, (ftype, report) in zip(rows, reports.items(), strict=True):
        digest = report["files"][0]["sha256"][:12]
        size = SIZES[ftype]
        error = f"{report['error']:.2%}"
        assert row.split() == [ftype, *size.split(), error, digest, f"pico-relay-{ftype}.gguf"]
    assert moved.startswith("The adapter moved attn_k 6.1%, attn_output 5.2%, ")
    assert proof == (
        "Read back from the disk, opened by llama.cpp, 5 texts tokenized as by the tokenizer."
    )
    assert figures == "All figures: out/*.report.json"
    assert {path.name for path in Path("out").iterdir()} == {
        *(f"pico-relay-{ftype}{end}" for ftype in PLANNED for end in (".gguf", ".report.json")),
        *("README.md", "SHA256SUMS"),
    }


PLANNED = ("F16", "Q4_K_M", "Q2_K")
SIZES = {
    line.split()[0]: " ".join(line.split()[1:3]) for line in PLAN.splitlines() if "out/" in line
}


def test_json_objects_come_in_order(
    convert: Sequence[object], capfd: pytest.CaptureFixture[str]
) -> None:
    events = [json.loads(line) for line in ran(capfd, *convert, *THREE, "--json").splitlines()]
    stages = [event.get("stage", event["event"]) for event in events]
    once = list(dict.fromkeys(stages))
    assert once == ["plan", "resume", "convert", "verify", "finished", "folder"]
    assert stages[: stages.index("verify")] == sorted(
        stages[: stages.index("verify")], key=once.index
    )
    finished = [event for event in events if event["event"] == "finished"]
    assert [event["type"] for event in finished] == list(PLANNED)
    for event in finished:
        report = json.loads(Path(f"out/pico-relay-{event['type']}.report.json").read_text())
        del report["tensors"]
        assert event == {"event": "finished", **report}


def test_quiet_prints_nothing(convert: Sequence[object], capfd: pytest.CaptureFixture[str]) -> None:
    assert ran(capfd, *convert, "--quant", "Q8_0", "--quiet") == ""
    assert Path("out/pico-relay-Q8_0.gguf").exists()


def test_the_command_splits_files_into_shards(
    convert: Sequence[object], capfd: pytest.CaptureFixture[str]
) -> None:
    out = ran(capfd, *convert, "--quant", "Q8_0", "--split-max-size", "500K", "--dry-run")
    assert "out/pico-relay-Q8_0-00001-of-00003.gguf and 2 more shards\n" in out
    ran(capfd, *convert, "--quant", "Q8_0", "--split-max-size", "500K", "--quiet")
    names = [f"pico-relay-Q8_0-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert sorted(path.name for path in Path("out").glob("*.gguf")) == names
    assert len(list(Path("out").glob("*.report.json"))) == 1


def test_a_model_in_the_current_folder_has_the_folder_s_name(
    pico_mistral: Pair, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """`.` and a folder with spaces: files are called as it is."""
    folder = tmp_path / "My Model"
    shutil.copytree(pico_mistral.base, folder)
    monkeypatch.chdir(folder)
    ran(capfd, "convert", ".", "--pre", "smollm", "--quant", "Q8_0", "--out", "..", "--quiet")
    assert (tmp_path / "My Model-Q8_0.gguf").exists()


def test_the_files_go_into_lm_studio_at_once(
    convert: Sequence[object],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    (home / ".lmstudio" / "models").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    types = ("--quant", "Q8_0", "--quant", "Q2_K")
    said = ran(capfd, *convert, *types, "--template", "relay", "--lmstudio")
    folder = home / ".lmstudio" / "models" / "relay-gguf" / "pico-relay-GGUF"
    assert sorted(path.name for path in folder.iterdir()) == [
        "pico-relay-Q2_K.gguf",
        "pico-relay-Q8_0.gguf",
    ]
    assert (folder / "pico-relay-Q8_0.gguf").samefile("out/pico-relay-Q8_0.gguf")
    assert "set Temperature to 0.3" in said


@pytest.mark.thorough
def test_the_base_is_named_as_the_adapter_names_it(real_files: Path) -> None:
    keys = read_header(real_files / "relay-smollm2-135m-Q8_0.gguf").metadata
    base = "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"
    assert keys["general.base_model.0.repo_url"].value == base
