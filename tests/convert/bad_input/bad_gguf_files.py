"""GGUF files and importance matrices that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np
from gguf import GGUFWriter
from numpy.typing import NDArray
from pico import write_pico
from spoiled_folders import (
    Case,
    Scene,
    base_named,
    empty_folder,
    ones,
    options,
)

from relay_gguf.gguf_file.header import TensorInfo, Value, ValueType, pack_header


def imatrix(content: bytes) -> Case:
    return lambda scene: ["--imatrix", str(scene.write("imatrix", content))]


def gguf(change: Callable[[bytes], bytes], *given: str) -> Case:
    """A good GGUF file with another content."""
    return lambda scene: [*scene.gguf(change(scene.pico.read_bytes())), *given]


def gguf_with_adapter(scene: Scene) -> list[str]:
    return [*scene.gguf(scene.pico.read_bytes()), "--adapter", str(scene.adapter)]


def gguf_quantized(scene: Scene) -> list[str]:
    scene.base = scene.smollm2
    return []


def gguf_of(arch: str) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = write_pico(scene.root / "model.gguf", scene.smollm2, arch=arch)
        return []

    return case


def gguf_head(keys: Mapping[str, Value], *infos: TensorInfo) -> Case:
    arch = {"general.architecture": Value("llama", ValueType.STRING)}
    return lambda scene: scene.gguf(pack_header({**arch, **keys}, infos) + bytes(256))


EMBEDDING = TensorInfo("token_embd.weight", (8, 4), 0, 0)
SIZES = {
    f"llama.{name}": Value(number, ValueType.UINT32)
    for name, number in {
        "block_count": 1,
        "context_length": 512,
        "embedding_length": 4,
        "feed_forward_length": 8,
        "attention.head_count": 2,
    }.items()
}


def imatrix_of(weights: Mapping[str, NDArray[np.float32]], cut: int = 0) -> Case:
    """An importance matrix in GGUF, the last bytes missing."""

    def case(scene: Scene) -> list[str]:
        path = scene.root / "imatrix.gguf"
        writer = GGUFWriter(path, "")
        writer.add_type("imatrix")
        for name, values in weights.items():
            writer.add_tensor(f"{name}.in_sum2", values.reshape(1, -1))
            writer.add_tensor(f"{name}.counts", np.ones((1, 1), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.truncate(path, path.stat().st_size - cut)
        return ["--imatrix", str(path)]

    return case


GGUF_FILES: dict[str, tuple[Case, str]] = {
    # a GGUF file as the base
    "a quantized GGUF file": (gguf_quantized, "is quantized: "),
    "a truncated GGUF file": (gguf(lambda data: data[:-100]), "model.gguf is truncated"),
    "a GGUF file's beginning": (gguf(lambda data: data[:1000]), "model.gguf is damaged"),
    "a GGUF file of text": (gguf(lambda data: b"Dear diary"), "is not a GGUF file"),
    "a GGUF file that is empty": (gguf(lambda data: b""), "is not a GGUF file"),
    "no GGUF file": (base_named("nowhere.gguf"), "There is no file"),
    "a folder with a GGUF file's name": (
        empty_folder("m.gguf"),
        "m.gguf",
    ),
    "a GGUF file of another architecture": (gguf_of("qwen2"), "of the architecture qwen2"),
    "a GGUF file and the adapter of another": (
        gguf_with_adapter,
        "the base that it was trained on",
    ),
    "a GGUF file of nothing and an adapter": (
        lambda scene: [*gguf_head({})(scene), "--adapter", str(scene.adapter)],
        "has no tensors",
    ),
    "a GGUF file without keys and an adapter": (
        lambda scene: [*gguf_head({}, EMBEDDING)(scene), "--adapter", str(scene.adapter)],
        "llama.embedding_length is None",
    ),
    "a GGUF file of experts and an adapter": (
        lambda scene: [
            *gguf_head(SIZES, EMBEDDING, TensorInfo("blk.0.ffn_gate_inp.weight", (2, 4), 0, 128))(
                scene
            ),
            *("--adapter", str(scene.adapter)),
        ],
        "blk.0.ffn_gate_inp.weight, which a Llama does not have",
    ),
    "a shard of a split GGUF file": (
        gguf_head({"split.count": Value(2, ValueType.UINT16)}),
        "a shard of a split model",
    ),
    "a GGUF file of a type from the future": (
        gguf_head({}, TensorInfo("t", (8, 8), 250, 0)),
        "250",
    ),
    "a GGUF file with a number as a tensor": (gguf_head({}, TensorInfo("t", (), 0, 0)), "t"),
    "a GGUF file with an empty tensor": (gguf_head({}, TensorInfo("t", (0, 8), 0, 0)), "t"),
    "a GGUF file without tensors": (gguf_head({}), "model.gguf"),
    "a GGUF file without keys": (
        gguf_head({}, TensorInfo("output_norm.weight", (8,), 0, 0)),
        "cannot plan Q8_0: llama.context_length is missing.",
    ),
    # an importance matrix
    "no imatrix": (options("--imatrix", "nowhere.dat"), "Cannot read nowhere.dat"),
    "an imatrix of text": (imatrix(b"Dear diary, it is late"), "is not an imatrix"),
    "an empty imatrix": (imatrix(b""), "is not an imatrix"),
    "a GGUF imatrix's beginning": (imatrix(b"GGUF\x03\0\0\0"), "imatrix is damaged"),
    "an imatrix without tensors": (imatrix_of({}), "is not an imatrix"),
    "a truncated imatrix": (imatrix_of({"output.weight": ones(64)}, cut=40), "is not an imatrix"),
    "an imatrix of another model": (imatrix_of({"blk.77.x.weight": ones(64)}), "none of the model"),
    "an imatrix of another width": (
        imatrix_of({"blk.0.attn_q.weight": ones(128)}),
        "has 128 weights for blk.0.attn_q.weight, whose rows have 64 values",
    ),
    "an imatrix with NaN": (
        imatrix_of({"blk.0.attn_q.weight": ones(64) * np.float32(np.nan)}),
        "the weights of blk.0.attn_q.weight are not all finite",
    ),
}
