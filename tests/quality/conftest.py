"""Two models of a few kilobytes, of which one is a little off; and llama.cpp's figures of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from pico import write_pico

GOLDEN = Path(__file__).parents[1] / "golden" / "quality"


@dataclass(frozen=True)
class TinyPair:
    """The files of a base and of a model that differs a little."""

    base: Path
    noisy: Path


@pytest.fixture(scope="session")
def tiny(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyPair:
    """The models of `tests/golden/quality`."""
    folder = tmp_path_factory.mktemp("quality")
    return TinyPair(
        write_pico(folder / "base.gguf", smollm2, n_vocab=280, spoil=0.1),
        write_pico(folder / "noisy.gguf", smollm2, n_vocab=280, spoil=0.1, noise=0.05),
    )


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginnings of five of the package's scenes, as a file of conversations."""
    path = tmp_path_factory.mktemp("talk") / "talk.jsonl"
    scenes = files("relay_gguf.quality").joinpath("scenes.jsonl").read_text("utf-8").splitlines()
    short = [{"messages": json.loads(scene)["messages"][:12]} for scene in scenes[:5]]
    path.write_text("".join(f"{json.dumps(scene)}\n" for scene in short), "utf-8")
    return path


@pytest.fixture
def golden() -> Path:
    """The folder of llama.cpp's figures, and of the text that they are about."""
    return GOLDEN
