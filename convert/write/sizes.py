"""How large the files of a model would be, from its config and tokenizer alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gguf import GGUFWriter

from relay_gguf.convert.arch import llama as arch
from relay_gguf.convert.arch.weights import GgufWeights, Tensor
from relay_gguf.convert.read.source import SMALL_FILES
from relay_gguf.convert.vocab import vocabulary as vocab
from relay_gguf.convert.vocab.vocabulary import read_vocabulary
from relay_gguf.gguf_file.header import Keys
from relay_gguf.hub.api import locate_folder
from relay_gguf.quant_presets import Preset, presets

from .header import collected
from .plan import sizes

NEMO: Final[dict[str, Any]] = {
    "architectures": ["MistralForCausalLM"],
    "hidden_size": 5120,
    "intermediate_size": 14336,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 1024000,
    "vocab_size": 131074,  # Relay's: the base's 131,072 and two of ChatML
}
"""Mistral-Nemo as Relay has it (config.json of danlou/relay-v0.1-Mistral-Nemo-2407)."""


@dataclass(frozen=True, slots=True)
class PresetSizes:
    """A preset, and the bytes of each of its files."""

    preset: Preset
    sizes: Mapping[str, int]
    model: str


def preset_sizes(model: str | None) -> list[PresetSizes]:
    """Every preset with its sizes for a model; None is Mistral-Nemo, less its tokenizer.

    Raises:
        ConversionError: it is no model that can be converted.
        ModelError: the hub does not have it, or cannot be reached.
    """
    keys, tensors = _outline(model)
    found = list(presets())
    wanted = dict.fromkeys(ftype for preset in found for ftype in preset.types)
    by_type = sizes(keys, tensors, list(wanted))
    label = model or "Mistral-Nemo (12B)"
    return [PresetSizes(p, {ftype: by_type[ftype] for ftype in p.types}, label) for p in found]


def _outline(model: str | None) -> tuple[Keys, list[Tensor]]:
    """Keys and tensors of a model, without its weights."""
    if model is not None and model.endswith(".gguf"):
        weights = GgufWeights(Path(model).expanduser(), allow_requantize=True)
        return weights.keys, list(weights.tensors)
    folder = None if model is None else locate_folder(model, SMALL_FILES)
    config = NEMO if folder is None else arch.read_config(folder)
    llama = arch.read_llama(config)
    writer = GGUFWriter(None, "llama")
    arch.add_keys(writer, llama)
    if folder is not None and (folder / "tokenizer.json").exists():
        vocabulary = read_vocabulary(folder, llama.vocab_size, folder, config, "any")
        vocab.add_keys(writer, vocabulary)
    tied = bool(config.get("tie_word_embeddings"))
    tensors = arch.outline(llama, tied=tied)
    return collected(writer), [Tensor(name, shape) for name, shape in tensors.items()]
