"""A PEFT LoRA adapter: its change to each tensor of the base.

Every tensor of the adapter is used, or knowingly left out (`original_module` is the matrix before
training); any other tensor stops the conversion. PEFT spells keys in several ways: with and without
`.default` or the adapter's own name, with `modules_to_save` or plain, and with the names of the
wrappers that the model was trained in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from relay_gguf.display import listed
from relay_gguf.errors import ConversionError

from .arrays import Array
from .checkpoint import Checkpoint, Tensors
from .config import is_number, read_object

PREFIX: Final = "base_model.model."
REFUSED: Final = (
    *("layer_replication", "target_parameters", "alora_invocation_tokens"),
    *("use_qalora", "use_bdlora"),
)
"""Settings that change a model in ways that its tensors do not show."""
PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
WEIGHT_CHANGING_INITS: Final = ("pissa", "olora", "corda", "lora_ga", "loftq", "eva_pissa")
"""Initializations that change the base itself (PEFT, tuners/lora/layer.py)."""

WRAPPER: Final = re.compile(
    r"(?<![^.])(?:_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\."
)
"""What torch.compile, activation checkpointing and FSDP put into a module's name."""

_KEY = re.compile(
    r"(?P<module>.+?)\."
    r"(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector"
    r"|modules_to_save|original_module|base_layer|token_adapter\.trainable_tokens_delta"
    r"|token_adapter\.base_layer)"
    r"(?:\.(?!weight$|bias$)\w+)?(?:\.(?P<kind>weight|bias))?"
)
_PLAIN = re.compile(r"(?P<module>.+)\.(?P<kind>weight|bias)")


@dataclass(frozen=True, slots=True)
class Delta:
    """W becomes W + scale·B·A; with a magnitude (DoRA), that sum rescaled to the magnitude.

    `a`, `b` and `magnitude` are keys of the adapter's tensors: A is (rank, in) and B (out, rank),
    also of an embedding, where out is the hidden size. `shape` is W's as it is stored: (out, in),
    or (in, out) if `transposed`, as embeddings and `fan_in_fan_out` layers are.
    """

    a: str
    b: str
    scale: float
    shape: tuple[int, ...]
    transposed: bool = False
    magnitude: str | None = None


@dataclass(slots=True)
class TensorChange:
    """The change of one tensor of the base; its steps are taken in this order."""

    replacement: str | None = None  # the adapter's key of a tensor in place of the base's
    delta: Delta | None = None
    tokens: tuple[tuple[int, ...], str] | None = None  # rows, and the adapter's key of their values
    bias: Array | None = None  # added


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter, opened; `changes` has the names of the base's tensors as keys."""

    checkpoint: Tensors
    config: Mapping[str, Any]
    changes: Mapping[str, TensorChange] = field(default_factory=dict)


def open_adapter(folder: Path) -> Adapter:
    """Read an adapter's config and headers; its matrices stay on the disk.

    Raises:
        ConversionError: the folder has no LoRA adapter, has it as a pickle, or the adapter has a
            setting or tensor that cannot be merged.
    """
    config = _read_config(folder)
    file = folder / "adapter_model.safetensors"
    if not file.exists():
        pickles = [path.name for ending in PICKLES for path in folder.glob(f"adapter*{ending}")]
        if pickles:
            raise ConversionError(
                f"{folder} has {listed(pickles)} only: a pickle, which can run code when it is "
                "read. Save the adapter as safetensors."
            )
        others = sorted(path.name for path in folder.glob("*.safetensors"))
        hint = (
            f" It has {listed(others)}; PEFT reads no other name either. Rename the file, or load "
            "the adapter where it was trained and save it again."
        )
        raise ConversionError(f"{folder} has no {file.name}.{hint if others else ''}")
    checkpoint = Checkpoint([file])
    parts = _sort_parts(checkpoint)
    changes: dict[str, TensorChange] = {}
    for module, keys in parts.items():
        _read_module(checkpoint, config, module, keys, changes)
    if not changes:
        raise ConversionError(
            f"{file} has no tensors that change the base: the adapter was saved empty. Save it "
            "again; of a model that torch.compile made, save its `_orig_mod`."
        )
    return Adapter(checkpoint, config, changes)


def changes_nothing(adapter: Adapter) -> bool:
    """Whether each tensor stays as it was, as of an adapter that was never trained.

    Stops at the first matrix that changes something, which usually is the first one.
    """
    return all(_is_nothing(adapter.checkpoint, change) for change in adapter.changes.values())


def _is_nothing(checkpoint: Tensors, change: TensorChange) -> bool:
    if change.replacement is not None or change.tokens is not None:
        return False
    if change.bias is not None and change.bias.any():
        return False
    delta = change.delta
    if delta is None or delta.scale == 0:
        return delta is None or delta.magnitude is None
    if delta.magnitude is not None:
        return False
    return not (checkpoint.rows(delta.b).any() and checkpoint.rows(delta.a).any())


def scale_of(config: Mapping[str, Any], module: str, rank: int) -> float:
    """The factor of B·A: alpha / rank, or alpha / √rank for rsLoRA (Kalajdzievski 2023).

    Of `alpha_pattern`, the first pattern that a module's name ends with counts (PEFT,
    utils/other.py get_pattern_key).
    """
    alpha = float(_pattern(config.get("alpha_pattern") or {}, module, config["lora_alpha"]))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / "adapter_config.json"
    config = read_object(path)
    if config.get("peft_type") != "LORA":
        kind = config.get("peft_type")
        said = f"is a {kind} adapter" if kind else "does not say what it is (peft_type)"
        raise ConversionError(f"{path} {said}; only LORA can be merged.")
    for name in ("lora_alpha", "r"):
        if not is_number(config.get(name)):
            raise ConversionError(f"{path}: {name} is {config.get(name)!r}; it must be a number.")
    for name in ("use_rslora", "use_dora", "fan_in_fan_out"):
        if config.get(name) not in (None, False, True):
            raise ConversionError(f"{path}: {name} is {config[name]!r}; it must be true or false.")
    for name in ("alpha_pattern", "rank_pattern"):
        _check_patterns(path, name, config.get(name) or {})
    indices = config.get("trainable_token_indices")
    for pattern in indices if isinstance(indices, dict) else ():
        _check_pattern(path, "trainable_token_indices", pattern)
    for name in REFUSED:
        if config.get(name):
            raise ConversionError(f"{path}: {name} is set, and cannot be merged.")
    init = str(config.get("init_lora_weights")).lower()
    if any(init.startswith(name) for name in WEIGHT_CHANGING_INITS):
        raise ConversionError(
            f"{path}: init_lora_weights is {init!r}: the adapter belongs to a changed base. "
            "Convert it with PEFT (path_initial_model_for_weight_conversion) first."
        )
    return config


def _check_patterns(path: Path, name: str, patterns: object) -> None:
    """Refuse what is not an object of regular expressions and numbers.

    Raises:
        ConversionError: it is not.
    """
    if not isinstance(patterns, dict):
        raise ConversionError(f"{path}: {name} is {patterns!r}; it must be an object.")
    for pattern, value in patterns.items():
        if not is_number(value):
            raise ConversionError(f"{path}: {name} of {pattern} is {value!r}; not a number.")
        _check_pattern(path, name, pattern)


def _check_pattern(path: Path, name: str, pattern: str) -> None:
    try:
        re.compile(rf"(.*\.)?({pattern})$")
    except (re.error, RecursionError, OverflowError) as error:
        raise ConversionError(
            f"{path}: {name} has {pattern!r}, which is not a regular expression: {error}."
        ) from error


def _sort_parts(checkpoint: Checkpoint) -> dict[str, dict[tuple[str, str], str]]:
    """Module → (part, weight or bias) → key of the adapter's file."""
    modules: dict[str, dict[tuple[str, str], str]] = {}
    for key in checkpoint.infos:
        name = WRAPPER.sub("", key).removeprefix(PREFIX)
        match = _KEY.fullmatch(name)
        if match is not None:
            part, kind = match["part"], match["kind"] or "weight"
        elif (match := _PLAIN.fullmatch(name)) is not None and ".lora_" not in name:
            part, kind = "modules_to_save", match["kind"]
            if (part, kind) in modules.get(match["module"], {}):
                continue  # saved twice, the same
        else:
            raise ConversionError(
                f"The adapter has a tensor {key}, which relay-gguf does not know."
            )
        there = modules.setdefault(match["module"], {})
        if (part, kind) in there and part.startswith(("lora_", "token_adapter")):
            raise ConversionError(
                f"The adapter has both {there[part, kind]} and {key}: it is several adapters in "
                "one file. Save one of them alone (PEFT: selected_adapters)."
            )
        there[part, kind] = key
    return modules


def _read_module(
    checkpoint: Checkpoint,
    config: Mapping[str, Any],
    module: str,
    keys: Mapping[tuple[str, str], str],
    changes: dict[str, TensorChange],
) -> None:
    left = dict(keys)

    def change(kind: str) -> TensorChange:
        return changes.setdefault(f"{module}.{kind}", TensorChange())

    left.pop(("original_module", "weight"), None)
    left.pop(("original_module", "bias"), None)
    for kind in ("weight", "bias"):
        for part in ("modules_to_save", "base_layer", "token_adapter.base_layer"):
            if (key := left.pop((part, kind), None)) is not None:
                change(kind).replacement = key

    magnitude = left.pop(("lora_magnitude_vector", "weight"), None)
    embeds = ("lora_embedding_A", "weight") in left
    a = left.pop(("lora_embedding_A" if embeds else "lora_A", "weight"), None)
    b = left.pop(("lora_embedding_B" if embeds else "lora_B", "weight"), None)
    if a is not None and b is not None:
        shapes = checkpoint.infos[a].shape, checkpoint.infos[b].shape
        if [len(shape) for shape in shapes] != [2, 2]:
            raise ConversionError(
                f"{module}: lora_A and lora_B are of the shapes {shapes}, which is not a LoRA."
            )
        (rank, columns), (rows, other) = shapes
        if rank != other:
            raise ConversionError(f"{module}: lora_A has rank {rank}, lora_B {other}.")
        expected = _pattern(config.get("rank_pattern") or {}, module, config["r"])
        if rank != expected:
            raise ConversionError(
                f"{module}: the adapter's tensors have rank {rank}, its config says {expected}."
            )
        if magnitude is None and config.get("use_dora"):
            raise ConversionError(
                f"{module}: the adapter is a DoRA (use_dora), and has no lora_magnitude_vector of "
                "this module: the file is incomplete. Save the adapter again."
            )
        scale = scale_of(config, module, rank)
        transposed = embeds or bool(config.get("fan_in_fan_out"))
        shape = (columns, rows) if transposed else (rows, columns)
        change("weight").delta = Delta(
            a, b, scale=scale, shape=shape, transposed=transposed, magnitude=magnitude
        )
        if (key := left.pop(("lora_B", "bias"), None)) is not None:
            change("bias").bias = np.float32(scale) * checkpoint.rows(key)
    elif a is not None or b is not None or magnitude is not None:
        raise ConversionError(f"{module}: the adapter has only one of lora_A and lora_B.")

    if (key := left.pop(("token_adapter.trainable_tokens_delta", "weight"), None)) is not None:
        change("weight").tokens = (_token_rows(config, module), key)
    if left:
        raise ConversionError(
            f"The adapter has a tensor {next(iter(left.values()))}, which has no place in {module}."
        )


def _token_rows(config: Mapping[str, Any], module: str) -> tuple[int, ...]:
    """The rows that trainable_token_indices names for a module; their values replace them."""
    indices = config.get("trainable_token_indices")
    if isinstance(indices, Mapping):
        indices = _pattern(indices, module, None)
    if not indices:
        raise ConversionError(f"{module}: trained tokens without trainable_token_indices.")
    if not isinstance(indices, list) or not all(type(index) is int for index in indices):
        raise ConversionError(
            f"{module}: trainable_token_indices is {indices!r}; it must be a list of token ids."
        )
    return tuple(indices)


def _pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
