"""The files that are compared: what each is, and whether they are of the same model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from relay_gguf.errors import QualityError
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.gguf_file.values import integer, texts
from relay_gguf.llama.first_read.first_read import readable_model

EDGE: Final = 1 << 20
"""Bytes that are read of each shard's beginning and end, to know it again."""
SIZES: Final = ("block_count", "embedding_length")
"""Keys after the architecture's name that all files of a model share."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file, or the first of a split one.

    `kind` is equal for all files of a model: its architecture and sizes. `vocabulary` is a digest
    of its tokens, `identity` of its bytes.
    """

    path: Path
    model: GgufModel
    kind: str
    vocabulary: str
    identity: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def n_vocab(self) -> int:
        """Tokens of the vocabulary."""
        return len(texts(self.model.metadata, "tokenizer.ggml.tokens"))

    @property
    def origin(self) -> Mapping[str, Any]:
        """What a file of logits says of its model."""
        return {
            "model": self.name,
            "type": self.model.ftype,
            "kind": self.kind,
            "vocabulary": self.vocabulary,
            "identity": self.identity,
        }


def model_file(path: Path) -> ModelFile:
    """Look at a file, of which only the header and the edges are read.

    Raises:
        ModelError: it is not there, is damaged, or llama.cpp could not read it.
    """
    model = readable_model(path)
    keys = model.metadata
    sizes = [str(integer(keys, f"{model.architecture}.{key}")) for key in SIZES]
    tokens = "\0".join(texts(keys, "tokenizer.ggml.tokens"))
    return ModelFile(
        path=path,
        model=model,
        kind=" ".join([model.architecture or "unknown", *sizes]),
        vocabulary=sha256(tokens.encode("utf-8", "surrogatepass")).hexdigest(),
        identity=_identity(model),
    )


def _identity(model: GgufModel) -> str:
    running = sha256()
    for shard in model.shards:
        with shard.path.open("rb") as file:
            running.update(f"{shard.size} ".encode())
            running.update(file.read(EDGE))
            file.seek(-min(EDGE, shard.size), os.SEEK_END)
            running.update(file.read(EDGE))
    return running.hexdigest()


def refuse_others(base: Mapping[str, Any], file: ModelFile) -> None:
    """Refuse a file that is not of the base's model.

    Args:
        base: the origin of the base.
        file: to compare with it.

    Raises:
        QualityError: its architecture, its sizes or its vocabulary differ.
    """
    name = base.get("model", "the base")
    if base.get("kind", file.kind) != file.kind:
        raise QualityError(
            f"{file.path} is another model than {name}: {_in_words(file.kind)}, not "
            f"{_in_words(str(base['kind']))}. Compare files that were made of the same model."
        )
    if base.get("vocabulary", file.vocabulary) != file.vocabulary:
        raise QualityError(
            f"{file.path} has another vocabulary than {name}. Compare files that were made of the "
            "same model."
        )


def _in_words(kind: str) -> str:
    architecture, blocks, width = kind.split(" ")
    return f"{architecture} of {blocks} blocks, {width} wide"
