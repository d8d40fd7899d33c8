"""Folders that a case spoils, and the ways to spoil them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hf_tokenizers import dump_json, load_json
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

Q = "model.layers.0.self_attn.q_proj"
NORM = "model.norm.weight"


@dataclass
class Scene:
    """Folders that a case may spoil, and what it is run with."""

    root: Path
    base: Path
    adapter: Path
    smollm2: Path
    pico: Path

    @property
    def out(self) -> Path:
        return self.root / "out"

    def edit(self, path: Path, **changes: Any) -> None:
        """Change entries of a JSON file; None takes one away."""
        values = load_json(path) | changes
        dump_json(path, {name: value for name, value in values.items() if value is not None})

    def config(self, **changes: Any) -> list[str]:
        self.edit(self.base / "config.json", **changes)
        return []

    def adapter_config(self, **changes: Any) -> list[str]:
        self.edit(self.adapter / "adapter_config.json", **changes)
        return ["--adapter", str(self.adapter)]

    def tensors(
        self, changes: Mapping[str, NDArray[Any] | None], adapter: bool = False
    ) -> list[str]:
        """Change tensors; None takes one away."""
        path = self.base / "model.safetensors"
        if adapter:
            path = self.adapter / "adapter_model.safetensors"
        values: dict[str, NDArray[Any] | None] = {**load_file(path), **changes}
        save_file({name: value for name, value in values.items() if value is not None}, path)
        return ["--adapter", str(self.adapter)] if adapter else []

    def spoil(self, name: str, value: float, adapter: bool = False) -> list[str]:
        """Write a value into the middle of a tensor."""
        path = self.base / "model.safetensors"
        if adapter:
            path = self.adapter / "adapter_model.safetensors"
        tensor = load_file(path)[name].copy()
        tensor.reshape(-1)[tensor.size // 2] = value
        return self.tensors({name: tensor}, adapter)

    def write(self, name: str, content: str | bytes) -> Path:
        """A file beside the folders."""
        path = self.root / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def gguf(self, content: bytes) -> list[str]:
        """A GGUF file in the place of the base."""
        self.base = self.write("model.gguf", content)
        return []


Case = Callable[[Scene], list[str]]
"""Spoils something; options to convert with."""


def shard(content: Callable[[bytes], bytes | None]) -> Case:
    """The second shard with another content; None removes it."""

    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / "sharded"
        path = sorted(scene.base.glob("*.safetensors"))[1]
        found = content(path.read_bytes())
        path.unlink()
        if found is not None:
            path.write_bytes(found)
        return []

    return case


def file(name: str, content: str | None, *, adapter: bool = False) -> Case:
    """A file of the base with another content; None removes it."""

    def case(scene: Scene) -> list[str]:
        path = (scene.adapter if adapter else scene.base) / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content, "utf-8")
        return ["--adapter", str(scene.adapter)] if adapter else []

    return case


def config(**changes: Any) -> Case:
    return lambda scene: scene.config(**changes)


def adapter_config(**changes: Any) -> Case:
    return lambda scene: scene.adapter_config(**changes)


def options(*given: str) -> Case:
    return lambda scene: list(given)


def tensors(changes: Mapping[str, NDArray[Any] | None], *, adapter: bool = False) -> Case:
    return lambda scene: scene.tensors(changes, adapter)


def spoiled(name: str, value: float, *given: str, adapter: bool = False) -> Case:
    return lambda scene: [*scene.spoil(name, value, adapter), *given]


def pickle(folder: str, name: str) -> Case:
    def case(scene: Scene) -> list[str]:
        (path,) = (scene.root / folder).glob("*.safetensors")
        path.rename(path.with_name(name))
        return ["--adapter", str(scene.adapter)] if folder == "adapter" else []

    return case


def base_named(name: str) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / name
        return []

    return case


def empty_folder(name: str) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / name
        scene.base.mkdir()
        return []

    return case


def above_checkpoints(folder: Path) -> Path:
    for steps in (90, 200, 1000):
        shutil.copytree(folder, folder.parent / "run" / f"checkpoint-{steps}")
    (folder.parent / "run" / "checkpoint-last").mkdir()
    return folder.parent / "run"


def ones(*shape: int) -> NDArray[np.float32]:
    return np.ones(shape, np.float32)
