"""A LoRA in a GGUF file, as llama.cpp's convert_lora_to_gguf.py writes it, and llama.cpp reads it.

Its tensors are NAME.lora_a and NAME.lora_b, by llama.cpp's names of the base's tensors. The rows of
lora_b are in llama.cpp's order, like those of the base. Both matrices of the embedding have a row
for each of the values that they belong to (src/llama-adapter.cpp, src/llama-graph.cpp).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from relay_gguf.convert.read.adapter import Adapter, Delta, TensorChange
from relay_gguf.convert.read.arrays import Array
from relay_gguf.convert.read.checkpoint import CheckpointTensor
from relay_gguf.convert.read.source import AdapterSource
from relay_gguf.convert.read.transposed import Transposed
from relay_gguf.convert.read.weight_file import StoredTensor
from relay_gguf.errors import ConversionError

from .gguf_base import ADAPTER, ROTATED, check_architecture, hugging_face_name, module_of
from .llama import Llama, unpermute
from .weights import GgufWeights

LORA_A, LORA_B = ".lora_a", ".lora_b"
EMBEDDING: Final = "token_embd.weight"
HUB: Final = "https://huggingface.co/"


class AdapterTensors:
    """The tensors of the file under its own names, rows in Hugging Face's order."""

    def __init__(self, weights: GgufWeights, head_dim: int) -> None:
        """Of an opened file."""
        self._weights = weights
        self._head_dim = head_dim
        self._tensors = {tensor.name: tensor for tensor in weights.tensors}
        self.infos: Mapping[str, CheckpointTensor] = {
            name: CheckpointTensor(name, weights.type_of(tensor).name, tensor.shape)
            for name, tensor in self._tensors.items()
        }

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor, in float32."""
        tensor = self._tensors[name]
        rows = self._weights.open(tensor)(0, tensor.shape[0]).rows
        if name.endswith(LORA_B) and module_of(name.removesuffix(LORA_B)) in ROTATED:
            rows = unpermute(rows, self._head_dim)
        return rows[start:stop]

    def check_readable(self, names: Iterable[str]) -> None:
        """Does nothing: the types were checked when the header was read."""

    def stored(self, names: Iterable[str]) -> Iterator[StoredTensor]:
        """Nothing: the file is not safetensors."""
        return iter(())


def open_gguf_adapter(path: Path, llama: Llama, *, label: str) -> AdapterSource:
    """Read an adapter's header.

    Args:
        path: the file.
        llama: the hyperparameters of its base, which tell the order of rows.
        label: its name.

    Raises:
        ConversionError: the file is not a LoRA for a Llama, or has a tensor that cannot be merged.
        ModelError: the file does not exist, or is not a GGUF file.
    """
    weights = GgufWeights(path, allow_requantize=True)  # a LoRA in Q8_0 is as good as it was made
    values = {key: value.value for key, value in weights.metadata.items()}
    if values.get("general.type") != ADAPTER:
        raise ConversionError(f"{path} is a whole model, not an adapter. Give it as BASE.")
    check_architecture(weights.metadata, path)
    if (kind := values.get("adapter.type")) != "lora":
        raise ConversionError(f"{path} is an adapter of the type {kind}; only lora can be merged.")
    if values.get("adapter.alora.invocation_tokens"):
        raise ConversionError(
            f"{path} is an activated LoRA, which works behind certain tokens alone, and cannot be "
            "merged."
        )
    alpha = values.get("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, float):
        raise ConversionError(f"{path}: adapter.lora.alpha is {alpha!r}; it must be a number.")
    tensors = AdapterTensors(weights, llama.head_dim)
    changes: dict[str, TensorChange] = {}
    for name in sorted(tensors.infos):
        target = name.removesuffix(LORA_A)
        if name.endswith(LORA_B) and f"{name.removesuffix(LORA_B)}{LORA_A}" in tensors.infos:
            continue
        source = hugging_face_name(target)
        if source is None or not (target != name or name.endswith("_norm.weight")):
            raise ConversionError(f"{path} has a tensor {name}, which is not one of a LoRA.")
        if target == name:
            changes[source] = TensorChange(replacement=name)
        else:
            changes[source] = TensorChange(delta=_delta(path, tensors, target, alpha, llama))
    if not changes:
        raise ConversionError(f"{path} has no tensors: the adapter was saved empty.")
    turned = [EMBEDDING + LORA_B] if EMBEDDING + LORA_B in tensors.infos else []
    adapter = Adapter(Transposed(tensors, turned), _config(values), changes)
    return AdapterSource(label, label, path, adapter, weights.metadata)


def _delta(path: Path, tensors: AdapterTensors, name: str, alpha: float, llama: Llama) -> Delta:
    a, b = name + LORA_A, name + LORA_B
    if b not in tensors.infos:
        raise ConversionError(f"{path}: {a} has no {LORA_B[1:]} beside it.")
    shapes = tensors.infos[a].shape, tensors.infos[b].shape
    embeds = name == EMBEDDING
    ranks = shapes[0][-1] if embeds else shapes[0][0], shapes[1][-1]
    if [len(shape) for shape in shapes] != [2, 2] or ranks[0] != ranks[1]:
        raise ConversionError(
            f"{path}: lora_a and lora_b of {name} are of the shapes {shapes}, which is not a LoRA."
        )
    if module_of(name) in ROTATED and shapes[1][0] % llama.head_dim:
        raise ConversionError(
            f"{path}: {b} has {shapes[1][0]} rows, which do not divide into the base's heads of "
            f"{llama.head_dim}. Is this the base that it was trained on?"
        )
    scale = alpha / ranks[0] if alpha else 1.0
    if embeds:
        return Delta(b, a, scale, (shapes[0][0], shapes[1][0]))
    return Delta(a, b, scale, (shapes[1][0], shapes[0][1]))


def _config(values: Mapping[str, Any]) -> dict[str, Any]:
    """What PEFT's config would say: the base, by its address on the hub."""
    url = str(values.get("general.base_model.0.repo_url") or "")
    return {"base_model_name_or_path": url.removeprefix(HUB)} if url.startswith(HUB) else {}
