"""The metadata and tensors of a model without its weights: enough to plan the sizes of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from gguf import GGUFWriter

from relay_gguf.convert.arch.llama import add_llama_metadata, outline, read_llama
from relay_gguf.convert.arch.weights import GgufWeights, Tensor
from relay_gguf.convert.read.config import read_config
from relay_gguf.convert.read.source import SMALL_FILES
from relay_gguf.convert.vocab.hf_tokenizer import add_tokenizer_metadata, read_vocabulary
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.gguf_file.header import Metadata
from relay_gguf.hub.api import locate_folder
from relay_gguf.llama.first_read.first_read import refuse_deadly

from .layout import metadata_of

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
"""Mistral-Nemo's config as Relay has it (config.json of danlou/relay-v0.1-Mistral-Nemo-2407)."""


def outline_model(model: str | None) -> tuple[Metadata, list[Tensor]]:
    """The metadata and tensors of a model, without its weights.

    Args:
        model: a folder of safetensors, `owner/name` on the hub or a GGUF file; None is
            Mistral-Nemo without its tokenizer.

    Raises:
        ConversionError: the model cannot be read, or is of another architecture than llama.
        ModelError: the GGUF file does not exist or is damaged, or the hub does not have the model
            or cannot be reached.
    """
    if model is not None and model.endswith(".gguf"):
        path = Path(model).expanduser()
        weights = GgufWeights(path, allow_requantize=True)
        refuse_deadly(read_gguf(path), ("keys",))
        return weights.metadata, list(weights.tensors)
    folder = None if model is None else locate_folder(model, SMALL_FILES)
    config = NEMO if folder is None else read_config(folder)
    llama = read_llama(config)
    writer = GGUFWriter(None, "llama")
    add_llama_metadata(writer, llama)
    if folder is not None and (folder / "tokenizer.json").exists():
        vocabulary = read_vocabulary(
            folder, llama.vocab_size, base=folder, config=config, pre="any"
        )
        add_tokenizer_metadata(writer, vocabulary)
    tied = bool(config.get("tie_word_embeddings"))
    shapes = outline(llama, tied=tied)
    return metadata_of(writer), [Tensor(name, shape) for name, shape in shapes.items()]
