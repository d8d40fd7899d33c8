"""Fixtures: model folders that are made once, and conversions of them."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from conversions import Pair
from hf_models import PICO, TINY, write_adapter, write_mistral, write_smollm2
from hf_tokenizers import write_small_tokenizer, write_tokenizer
from made_once import made_once

from relay_gguf.models.demo import ADAPTER

SCRIPT = Path(sysconfig.get_path("scripts"), "relay-gguf")


@pytest.fixture(scope="session")
def tokenizer(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's."""
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"), smollm2)


@pytest.fixture(scope="session")
def chatml(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 320 tokens."""
    return write_small_tokenizer(tmp_path_factory.mktemp("chatml"), tokenizer, 320)


@pytest.fixture(scope="session")
def plain(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of a base model: without ChatML."""
    rename = {"<|im_start|>": "<s>", "<|im_end|>": "</s>"}
    folder = tmp_path_factory.mktemp("plain")
    return write_small_tokenizer(folder, tokenizer, 320, rename=rename)


@pytest.fixture(scope="session")
def pico_mistral(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A small Mistral, and an adapter that grew its vocabulary by ChatML's tokens."""
    root = tmp_path_factory.mktemp("pico")
    base = write_mistral(root / "Pico-Mistral", plain, PICO)
    grow = ["<|im_start|>", "<|im_end|>"]
    return Pair(base, write_adapter(root / "pico-relay", base, grow=grow))


@pytest.fixture(scope="session")
def real(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """SmolLM2 as Hugging Face has it, and a real adapter of it."""
    name = "SmolLM2-135M-Instruct"
    root = made_once(tmp_path_factory, "real", lambda to: write_smollm2(to / name, smollm2))
    return Pair(root / name, ADAPTER)


@pytest.fixture(scope="session")
def real_files(real: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the installed command makes of them: Q8_0 and Q4_K_M."""

    def fill(out: Path) -> None:
        options = ["--quant", "Q8_0", "--quant", "Q4_K_M", "--quiet", "--out", out]
        given = [real.base, "--adapter", real.adapter, *options]
        subprocess.run([SCRIPT, "convert", *map(str, given)], check=True)

    return made_once(tmp_path_factory, "real-files", fill)


@pytest.fixture(scope="module")
def base(chatml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Mistral, for files that have no base of their own."""
    root = tmp_path_factory.mktemp("written")
    return write_mistral(root / "Tiny-Mistral-v1", chatml, TINY, dtype="F32")


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(base, tmp_path / base.name))
