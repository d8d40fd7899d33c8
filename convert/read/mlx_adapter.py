"""An adapter that mlx_lm trained: adapters.safetensors, and `lora_parameters` in its config.

mlx_lm multiplies from the right, x·A·B, so that its matrices are PEFT's transposed, and its scale
is the factor itself (mlx_lm, tuner/lora.py and tuner/dora.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import ConversionError

from .adapter import Adapter, Delta, TensorChange
from .checkpoint import Checkpoint
from .config import is_number, read_object
from .transposed import Transposed

FILE: Final = "adapters.safetensors"
SETTINGS: Final = frozenset({"fine_tune_type", "lora_parameters", "lora_layers", "num_layers"})
"""Settings of mlx_lm that PEFT does not have."""
LORA_A, LORA_B, MAGNITUDE = ".lora_a", ".lora_b", ".m"
EMBEDDING: Final = "model.embed_tokens"


def is_of_mlx(config: Mapping[str, Any]) -> bool:
    """Whether an adapter_config.json is one of mlx_lm."""
    return "peft_type" not in config and bool(SETTINGS & config.keys())


def open_mlx_adapter(folder: Path) -> Adapter:
    """Read an adapter's config and header: LoRA, DoRA, or whole matrices.

    Raises:
        ConversionError: its file is missing, its scale is not known, or it has a tensor that cannot
            be merged.
    """
    path = folder / "adapter_config.json"
    config = read_object(path)
    if not (folder / FILE).exists():
        raise ConversionError(f"{folder} is an adapter of MLX, and has no {FILE}.")
    stored = Checkpoint([folder / FILE])
    modules = {key.removesuffix(LORA_A) for key in stored.infos if key.endswith(LORA_A)}
    changes: dict[str, TensorChange] = {}
    left = set(stored.infos)
    turned: set[str] = set()
    for module in sorted(modules):
        a, b, m = module + LORA_A, module + LORA_B, module + MAGNITUDE
        if b not in left:
            raise ConversionError(f"{module}: the adapter has {LORA_A[1:]} and no {LORA_B[1:]}.")
        shapes = stored.infos[a].shape, stored.infos[b].shape
        if [len(shape) for shape in shapes] != [2, 2] or shapes[0][1] != shapes[1][0]:
            raise ConversionError(
                f"{module}: lora_a and lora_b are of the shapes {shapes}, which is not a LoRA of "
                "one matrix."
            )
        (inner, rank), (_, outer) = shapes
        scale, magnitude = _scale(path, config, rank), m if m in left else None
        if module == EMBEDDING:  # rows are looked up: lora_a has one for each token
            delta = Delta(b, a, scale, (inner, outer), magnitude=magnitude)
        else:
            turned |= {a, b}
            delta = Delta(a, b, scale, (outer, inner), magnitude=magnitude)
        changes[f"{module}.weight"] = TensorChange(delta=delta)
        left -= {a, b, m}
    for key in sorted(left):
        if not key.endswith((".weight", ".bias")) or ".lora_" in key or key in changes:
            raise ConversionError(
                f"The adapter of MLX has a tensor {key}, which relay-gguf does not know. Fuse it "
                f"there: mlx_lm.fuse --model BASE --adapter-path {folder} --save-path FUSED "
                "--dequantize; and convert FUSED."
            )
        changes[key] = TensorChange(replacement=key)
    if not changes:
        raise ConversionError(f"{folder / FILE} has no tensors: the adapter was saved empty.")
    # MLX computes the logits of a tied model with the embedding as it was trained.
    named = {"base_model_name_or_path": config.get("model"), "ensure_weight_tying": True}
    return Adapter(Transposed(stored, turned), {**config, **named}, changes)


def _scale(path: Path, config: Mapping[str, Any], rank: int) -> float:
    """The factor of the product.

    Raises:
        ConversionError: it is not a number; or there is an alpha, by which early versions of mlx_lm
            multiplied and later ones do not.
    """
    parameters = config.get("lora_parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    scale, alpha = parameters.get("scale"), parameters.get("alpha", rank)
    if not is_number(scale):
        raise ConversionError(f"{path}: the scale in lora_parameters is {scale!r}; not a number.")
    if alpha != rank:
        raise ConversionError(
            f"{path}: lora_parameters has a scale of {scale} and an alpha of {alpha!r}. Early "
            "versions of mlx_lm multiplied the scale by alpha / rank, later ones ignore alpha. "
            "Take alpha out, and give as scale what the version that trained it used: "
            f"{scale}, or that times alpha / {rank}."
        )
    return float(scale)
