"""`relay-gguf presets`, and what a preset makes of a conversion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conversions import Pair
from printed import ran, values

from relay_gguf import __version__
from relay_gguf.cli.app import main
from relay_gguf.convert.quantize.ftypes import FTYPES
from relay_gguf.quant_presets import load_preset, presets

NEMO = """\
Sizes for Mistral-Nemo (12B):

all       The usual types, F16 to Q2_K
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

imatrix   Smaller types, with --imatrix
          IQ3_M    5.71 GB
          IQ3_XS   5.30 GB
          IQ3_XXS  4.94 GB
          IQ2_M    4.43 GB
          IQ2_S    4.13 GB
          IQ2_XS   3.91 GB
          IQ2_XXS  3.58 GB
          IQ1_M    3.21 GB
          IQ1_S    2.99 GB

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


@pytest.mark.thorough
def test_presets_are_listed_with_their_sizes(
    pico_mistral: Pair, pico: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ran(capfd, "presets") == NEMO
    assert ran(capfd, "presets", pico_mistral.base).startswith(f"Sizes for {pico_mistral.base}:\n")
    found = {entry["preset"]: entry for entry in json.loads(ran(capfd, "presets", "--json"))}
    assert list(found) == ["all", "gpu-12gb", "gpu-24gb", "imatrix", "mac-16gb", "mac-8gb", "relay"]
    assert found["mac-8gb"] == {
        "preset": "mac-8gb",
        "description": "A Mac with 8 GB: what fits of a 12B model",
        "bytes": {"Q2_K": 4_783_199_456},
    }
    assert json.loads(ran(capfd, "presets", pico, "--json"))[0]["bytes"]["F16"] > 1_000_000


@pytest.mark.thorough
def test_sizes_of_presets_are_those_of_files(
    real: Pair, real_files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = json.loads(ran(capfd, "presets", real.base, "--json"))[0]["bytes"]
    for ftype in ("Q8_0", "Q4_K_M"):
        made = (real_files / f"relay-smollm2-135m-{ftype}.gguf").stat().st_size
        assert sizes[ftype] == pytest.approx(made, rel=1e-3)


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_a_gguf_file_takes_the_preset_s_metadata_too(
    pico: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(MINE, "utf-8")
    ran(capfd, "convert", pico, "--preset", "mine.toml", "--out", "out", "--quiet")
    keys = values(Path("out/my-Q8_0-model.gguf"))
    assert {key: keys.get(key) for key in MINE_SAYS} == MINE_SAYS
