"""Sparse GGUF files of any Llama's shape and types: all of a model but its values.

The weights are holes in the file and take no room on the disk. They read as zeros, and llama.cpp
loads and evaluates such a model: every logit is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFWriter

from relay_gguf.convert.arch import llama as arch
from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.write.layout import metadata_of
from relay_gguf.convert.write.sizes import NEMO
from relay_gguf.convert.write.targets import plan_targets
from relay_gguf.gguf_file.header import Value, ValueType, read_header

__all__ = ["MINI", "NEMO", "write_hollow"]

MINI = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 4096,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "vocab_size": 49152,
    "tie_word_embeddings": False,
}
"""0.8 billion parameters, and room for SmolLM2's vocabulary."""


def write_hollow(
    path: Path,
    config: Mapping[str, Any],
    ftype: str = "Q4_K_M",
    tokenizer_from: Path | None = None,
    max_bytes: int | None = None,
) -> Path:
    """Write a model of zeros; its path, or that of its first shard.

    Args:
        path: the file.
        config: of the model, as transformers has it.
        ftype: the file type.
        tokenizer_from: a GGUF file whose tokenizer is taken; without, the model has none.
        max_bytes: of tensors in a shard; None makes one file.
    """
    llama = arch.read_llama(dict(config))
    writer = GGUFWriter(None, "llama")
    arch.add_llama_metadata(writer, llama)
    metadata: dict[str, Value] = metadata_of(writer)
    metadata |= {"tokenizer.ggml.model": Value("none", ValueType.STRING)}
    if tokenizer_from is not None:
        theirs = read_header(tokenizer_from).metadata.items()
        metadata |= {name: value for name, value in theirs if name.startswith("tokenizer.")}
    shapes = arch.outline(llama, tied=bool(config.get("tie_word_embeddings")))
    tensors = [Tensor(name, shape) for name, shape in shapes.items()]
    (target,) = plan_targets(metadata, tensors, {ftype: path.name}, max_bytes=max_bytes)
    for file in target.files:
        with path.with_name(file.name).open("wb") as out:
            out.write(file.layout.header)
            out.truncate(file.layout.size)
    return path.with_name(target.files[0].name)
