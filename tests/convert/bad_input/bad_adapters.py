"""Adapters that cannot be merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hf_tokenizers import dump_json
from numpy.typing import NDArray
from safetensors.numpy import save_file
from spoiled_folders import (
    NORM,
    Case,
    Q,
    Scene,
    above_checkpoints,
    adapter_config,
    file,
    ones,
    options,
    pickle,
    spoiled,
    tensors,
)


def adapter_given_as(base: str, adapter: str | None) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / base
        return [] if adapter is None else ["--adapter", str(scene.root / adapter)]

    return case


def only_in_adapter(values: Mapping[str, NDArray[Any]], **changes: Any) -> Case:
    """An adapter that has these tensors and no others."""

    def case(scene: Scene) -> list[str]:
        prefix = "base_model.model."
        named = {prefix + name: array for name, array in values.items()}
        save_file(named, scene.adapter / "adapter_model.safetensors")
        return scene.adapter_config(**changes)

    return case


def adapter_at(make: Callable[[Path], Path]) -> Case:
    """Something else in the adapter's place, made of its folder."""
    return lambda scene: ["--adapter", str(make(scene.adapter))]


def file_as_gguf(adapter: Path) -> Path:
    path = adapter.with_name("lora.gguf")
    path.write_bytes(b"GGUF")
    return path


def mlx(adapter: Path) -> Path:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapters.safetensors")
    dump_json(adapter / "adapter_config.json", {"fine_tune_type": "lora", "num_layers": 16})
    return adapter


def one_below(adapter: Path) -> Path:
    """The folder of an adapter, which is now a folder in it."""
    below = adapter.rename(adapter.with_name("aside"))
    adapter.mkdir()
    below.rename(adapter / "default")
    return adapter


def shrunk(scene: Scene) -> list[str]:
    """An adapter whose embedding has fewer rows than the base's."""
    key = "base_model.model.model.embed_tokens.weight"
    return scene.tensors({key: ones(300, 64)}, adapter=True)


def twofold(scene: Scene) -> list[str]:
    key = f"base_model.model.{Q}.lora_"
    more = {f"{key}A.other.weight": ones(8, 64), f"{key}B.other.weight": ones(96, 8)}
    return scene.tensors(dict(more), adapter=True)


TOKENS = "model.embed_tokens.token_adapter.trainable_tokens_delta"
LEFTOVER = "base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight"
BEYOND = "base_model.model.model.layers.9.self_attn.q_proj"


ADAPTERS: dict[str, tuple[Case, str]] = {
    # the adapter
    "ranks in a list": (adapter_config(rank_pattern=["q_proj"]), "it must be an object"),
    "a rank in words": (adapter_config(rank_pattern={"q": "8"}), "not a number"),
    "an alpha of infinity": (adapter_config(lora_alpha=float("inf")), "it must be a number"),
    "a broken pattern": (adapter_config(alpha_pattern={"(": 8}), "not a regular expression"),
    "an alpha of 400 digits": (adapter_config(lora_alpha=10**400), "it must be a number"),
    "a rank of 400 digits": (adapter_config(rank_pattern={"q": 10**400}), "not a number"),
    "a DoRA without magnitudes": (adapter_config(use_dora=True), "has no lora_magnitude_vector"),
    "a switch in words": (adapter_config(use_rslora="false"), "it must be true or false"),
    "a QALoRA": (adapter_config(use_qalora=True), "use_qalora is set, and cannot be merged"),
    "an adapter of no kind": (adapter_config(peft_type=None), "does not say what it is"),
    "an adapter without tensors": (only_in_adapter({}), "the adapter was saved empty"),
    "trained tokens beyond the base": (
        only_in_adapter({TOKENS: ones(2, 64)}, trainable_token_indices=[319, 320]),
        "The adapter trained token 320, and model.embed_tokens.weight has 320 rows",
    ),
    "fewer rows than trained tokens": (
        only_in_adapter({TOKENS: ones(1, 64)}, trainable_token_indices=[1, 2]),
        "trainable_token_indices names 2 tokens",
    ),
    "trained tokens in words": (
        only_in_adapter({TOKENS: ones(1, 64)}, trainable_token_indices=["a"]),
        "it must be a list of token ids",
    ),
    "trained tokens by a broken pattern": (
        adapter_config(trainable_token_indices={"(": [1]}),
        "trainable_token_indices has '(', which is not a regular expression",
    ),
    "a bias that is one number": (
        tensors({f"base_model.model.{Q}.lora_B.bias": np.array(1, np.float32)}, adapter=True),
        "lora_B.bias is a single number, where a row or a matrix belongs",
    ),
    "a bias of another length": (
        tensors({f"base_model.model.{Q}.lora_B.bias": ones(7)}, adapter=True),
        "q_proj.bias, which the base does not have",
    ),
    "a magnitude of another length": (
        tensors({f"base_model.model.{Q}.lora_magnitude_vector": ones(7)}, adapter=True),
        "has 7 values, model.layers.0.self_attn.q_proj.weight needs 96",
    ),
    "a norm that is one number": (
        tensors({f"base_model.model.{NORM}": np.array(1, np.float32)}, adapter=True),
        "model.norm.weight is () in the adapter, (64,) in the base",
    ),
    "a shrunk embedding": (shrunk, "has 300 rows in the adapter, 320 in the base: training began"),
    "two adapters in a file": (twofold, "it is several adapters in one file"),
    "a LoRA in GGUF": (adapter_at(file_as_gguf), "lora.gguf is damaged"),
    "an adapter's file": (
        adapter_at(lambda folder: folder / "adapter_model.safetensors"),
        "is a file of an adapter: give its folder",
    ),
    "an adapter of MLX": (adapter_at(mlx), "The adapter of MLX has a tensor"),
    "an adapter above checkpoints": (
        adapter_at(above_checkpoints),
        "the newest is",
    ),
    "an adapter as the base": (adapter_given_as("adapter", None), "give it as --adapter"),
    "a model as the adapter": (adapter_given_as("base", "base"), "give it as BASE"),
    "an adapter's other pickle": (pickle("adapter", "adapter_model.pt"), "adapter_model.pt only"),
    "an adapter of another name": (
        pickle("adapter", "model.safetensors"),
        "has no adapter_model.safetensors. It has model.safetensors; PEFT reads no other name",
    ),
    "an adapter in a folder": (
        adapter_at(one_below),
        "It holds adapters in folders of their own: give one, default.",
    ),
    "an adapter's pickle": (pickle("adapter", "adapter_model.bin"), "a pickle, which can run code"),
    "no adapter": (options("--adapter", "./nowhere"), "There is no folder nowhere"),
    "an adapter of another model": (
        tensors({f"base_model.model.{Q}.lora_A.weight": ones(8, 128)}, adapter=True),
        f"{Q}.weight is (96, 64) in the base, (96, 128) in the adapter",
    ),
    "an adapter of another rank": (
        adapter_config(r=16),
        "rank",
    ),
    "a tensor left over": (
        tensors({LEFTOVER: ones(4, 4)}, adapter=True),
        LEFTOVER,
    ),
    "a layer that the base does not have": (
        tensors(
            {f"{BEYOND}.lora_A.weight": ones(8, 64), f"{BEYOND}.lora_B.weight": ones(96, 8)},
            adapter=True,
        ),
        "layers.9.self_attn.q_proj.weight, which the base does not have",
    ),
    "NaN in the adapter": (
        spoiled(f"base_model.model.{Q}.lora_B.weight", np.nan, adapter=True),
        "blk.0.attn_q.weight has 64 values",
    ),
    "an adapter without alpha": (adapter_config(lora_alpha=None), "lora_alpha"),
    "an alpha in words": (adapter_config(lora_alpha="much"), "lora_alpha"),
    "another kind of adapter": (adapter_config(peft_type="IA3"), "a IA3 adapter; only LORA"),
    "adapter settings that are a list": (
        file("adapter_config.json", "[]", adapter=True),
        "adapter_config.json",
    ),
}
