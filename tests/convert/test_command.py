"""`relay-gguf convert` and `presets` from end to end: what they print, what the files say."""

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

from relay_gguf import __version__
from relay_gguf.cli.app import main
from relay_gguf.cli.convert.convert import BLAS_THREADS
from relay_gguf.convert.quantize.ftypes import FTYPES
from relay_gguf.gguf_file.header import read_header
from relay_gguf.quant_presets import load_preset, presets

SCRIPT = Path(sysconfig.get_path("scripts"), "relay-gguf")


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


def ran(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints that ends well."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    printed = capfd.readouterr()
    assert (exit_.value.code, printed.err) == (0, "")
    return printed.out


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


@pytest.fixture
def convert(
    pico_mistral: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[object, ...]:
    """The command up to its types, its files going to `out` in the current folder."""
    monkeypatch.chdir(tmp_path)
    options = ("--adapter", pico_mistral.adapter, "--pre", "smollm", "--out", "out")
    return ("convert", pico_mistral.base, *options, "--threads", 2, "--template", "keep")


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


# Presets

NEMO = """\
Sizes for Mistral-Nemo (12B):

all       Every type but F32
          F16     24.50 GB
          BF16    24.50 GB
          Q8_0    13.01 GB
          Q6_K    10.05 GB
          Q5_K_M   8.72 GB
          Q5_K_S   8.51 GB
          Q4_K_M   7.47 GB
          Q4_K_S   7.11 GB
          IQ4_NL   7.14 GB
          IQ4_XS   6.79 GB
          Q3_K_L   6.55 GB
          Q3_K_M   6.08 GB
          Q3_K_S   5.53 GB
          Q2_K     4.78 GB

gpu-12gb  A graphics card with 12 GB
          Q5_K_M   8.72 GB
          Q4_K_M   7.47 GB

gpu-24gb  A graphics card with 24 GB
          Q8_0    13.01 GB
          Q6_K    10.05 GB

mac-16gb  A Mac with 16 GB
          Q5_K_M   8.72 GB
          Q4_K_M   7.47 GB

mac-8gb   A Mac with 8 GB: what fits of a 12B model
          Q2_K     4.78 GB

relay     Relay's four published files
          F16     24.50 GB
          Q8_0    13.01 GB
          Q4_K_M   7.47 GB
          Q2_K     4.78 GB
"""


def test_presets_are_listed_with_their_sizes(
    pico_mistral: Pair, real: Pair, real_files: Path, pico: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ran(capfd, "presets") == NEMO
    assert ran(capfd, "presets", pico_mistral.base).startswith(f"Sizes for {pico_mistral.base}:\n")
    found = {entry["preset"]: entry for entry in json.loads(ran(capfd, "presets", "--json"))}
    assert list(found) == ["all", "gpu-12gb", "gpu-24gb", "mac-16gb", "mac-8gb", "relay"]
    assert found["mac-8gb"] == {
        "preset": "mac-8gb",
        "description": "A Mac with 8 GB: what fits of a 12B model",
        "bytes": {"Q2_K": 4_783_199_456},
    }
    sizes = json.loads(ran(capfd, "presets", real.base, "--json"))[0]["bytes"]
    for ftype in ("Q8_0", "Q4_K_M"):
        made = (real_files / f"relay-smollm2-135m-{ftype}.gguf").stat().st_size
        assert sizes[ftype] == pytest.approx(made, rel=1e-3)
    assert json.loads(ran(capfd, "presets", pico, "--json"))[0]["bytes"]["F16"] > 1_000_000


def test_presets_have_sizes_for_a_quantized_file_too(
    real: Pair, real_files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = [
        json.loads(ran(capfd, "presets", model, "--json"))[0]["bytes"]["Q4_K_M"]
        for model in (real.base, real_files / "relay-smollm2-135m-Q4_K_M.gguf")
    ]
    assert sizes[1] == pytest.approx(sizes[0], rel=1e-3)


def test_presets_of_something_that_is_not_a_model_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, says in {"nowhere": "nowhere", "nowhere.gguf": "There is no file"}.items():
        with pytest.raises(SystemExit) as exit_:
            main(["presets", str(tmp_path / name)])
        (line,) = capfd.readouterr().err.splitlines()
        assert exit_.value.code == 1
        assert says in line
        assert "This is a bug" not in line


@pytest.mark.parametrize("preset", list(presets()), ids=lambda preset: preset.name)
def test_the_shipped_presets_can_be_read(preset: Any) -> None:
    assert load_preset(preset.name) == preset
    assert preset.description
    assert set(preset.types) <= set(FTYPES)


def values(path: Path) -> dict[str, Any]:
    return {name: value.value for name, value in read_header(path).metadata.items()}


def test_the_relay_preset_makes_files_as_the_author_does(
    convert: Sequence[object], capfd: pytest.CaptureFixture[str]
) -> None:
    ran(capfd, *convert, "--preset", "relay", "--quiet")
    names = [
        f"relay-v0.1-Mistral-Nemo-12B-2407-{t}.gguf" for t in ("F16", "Q8_0", "Q4_K_M", "Q2_K")
    ]
    assert sorted(path.name for path in Path("out").glob("*.gguf")) == sorted(names)
    keys = values(Path("out", names[0]))
    assert keys["llama.context_length"] == 131072
    assert keys["general.quantized_by"] == f"relay-gguf {__version__}"
    assert keys["general.license"] == "cc-by-nc-4.0"
    assert keys["general.sampling.temp"] == pytest.approx(0.3)
    assert keys["relay.merge_base"] == "original"
    tokens = keys["tokenizer.ggml.tokens"]
    assert tokens[keys["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"


MINE = """\
description = "Mine"
types = ["Q8_0", "Q4_0"]
file = "my-{type}-model.gguf"
context_length = 4242

[sampling]
temperature = 0.5
top_k = 7
top_p = 0.75
min_p = 0.125
repetition_penalty = 1.5
penalty_last_n = 99
sequence = "top_k;temperature"

[card]
name = "My model"
author = "Me"
version = "v7"
organization = "us"
basename = "mine"
finetune = "chat"
description = "It is mine"
url = "https://example.org/m"
license = "mit"
license_name = "MIT"
license_link = "https://example.org/l"
base_model = "them/Theirs-7B"
datasets = ["them/data-one", "two"]
tags = ["chat"]
languages = ["en", "pt"]
"""
MINE_SAYS = {
    "general.name": "My model",
    "general.author": "Me",
    "general.version": "v7",
    "general.organization": "us",
    "general.basename": "mine",
    "general.finetune": "chat",
    "general.description": "It is mine",
    "general.url": "https://example.org/m",
    "general.license": "mit",
    "general.license.name": "MIT",
    "general.license.link": "https://example.org/l",
    "general.tags": ["chat"],
    "general.languages": ["en", "pt"],
    "general.base_model.count": 1,
    "general.base_model.0.name": "Theirs 7B",
    "general.base_model.0.organization": "them",
    "general.base_model.0.repo_url": "https://huggingface.co/them/Theirs-7B",
    "general.dataset.count": 2,
    "general.dataset.0.name": "data one",
    "general.dataset.0.organization": "them",
    "general.dataset.0.repo_url": "https://huggingface.co/datasets/them/data-one",
    "general.dataset.1.name": "two",
    "general.sampling.temp": 0.5,
    "general.sampling.top_k": 7,
    "general.sampling.top_p": 0.75,
    "general.sampling.min_p": 0.125,
    "general.sampling.penalty_repeat": 1.5,
    "general.sampling.penalty_last_n": 99,
    "general.sampling.sequence": "top_k;temperature",
    "llama.context_length": 4242,
}


def test_a_preset_of_one_s_own_sets_types_names_and_metadata(
    convert: Sequence[object], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("mine.toml").write_text("\ufeff" + MINE, "utf-8")  # as Windows' editor saves it
    ran(capfd, *convert, "--preset", "mine.toml", "--quiet")
    names = ["my-Q4_0-model.gguf", "my-Q8_0-model.gguf"]
    assert sorted(path.name for path in Path("out").glob("*.gguf")) == names
    for name in names:
        keys = values(Path("out", name))
        assert {key: keys.get(key) for key in MINE_SAYS} == MINE_SAYS


def test_options_precede_the_preset(
    convert: Sequence[object], capfd: pytest.CaptureFixture[str]
) -> None:
    Path("mine.toml").write_text(MINE, "utf-8")
    options = ("--quant", "Q5_0", "--name", "m.gguf", "--context-length", 77)
    ran(capfd, *convert, "--preset", "mine.toml", *options, "--quiet")
    assert [path.name for path in Path("out").glob("*.gguf")] == ["m.gguf"]
    keys = values(Path("out/m.gguf"))
    assert keys["llama.context_length"] == 77
    assert keys["general.name"] == "My model"


def test_a_gguf_file_takes_the_preset_s_metadata_too(
    pico: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(MINE, "utf-8")
    ran(capfd, "convert", pico, "--preset", "mine.toml", "--out", "out", "--quiet")
    keys = values(Path("out/my-Q8_0-model.gguf"))
    assert {key: keys.get(key) for key in MINE_SAYS} == MINE_SAYS


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


def test_the_base_is_named_as_the_adapter_names_it(real_files: Path) -> None:
    keys = read_header(real_files / "relay-smollm2-135m-Q8_0.gguf").metadata
    base = "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"
    assert keys["general.base_model.0.repo_url"].value == base
