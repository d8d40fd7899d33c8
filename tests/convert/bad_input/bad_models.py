"""Models that cannot be converted: weights, config.json, tokenizer and name of the base."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hf_models import TINY, write_mistral
from safetensors import safe_open
from safetensors.numpy import save_file
from spoiled_folders import (
    NORM,
    Case,
    Q,
    Scene,
    above_checkpoints,
    base_named,
    config,
    empty_folder,
    file,
    ones,
    options,
    pickle,
    shard,
    spoiled,
    tensors,
)

from relay_gguf.convert.arch.llama import ARCHITECTURES


def index(text: str) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / "sharded"
        (scene.base / "model.safetensors.index.json").write_text(text)
        return []

    return case


def twice(scene: Scene) -> list[str]:
    """A tokenizer with two tokens that llama.cpp's converter gives the same text."""
    tokens = ["\u2581ab", " ab"]
    scene.base = write_mistral(scene.root / "twice", scene.base, TINY, plain_tokens=tokens)
    return []


def tokenizer_of_the_adapter(scene: Scene) -> list[str]:
    """A tokenizer that has grown, and no matrices that have."""
    path = scene.root / "grown" / "adapter_model.safetensors"
    names = ["model.embed_tokens.weight", "lm_head.weight"]
    dropped = {f"base_model.model.{name}" for name in names}
    with safe_open(path, "numpy") as stored:
        kept = {n: stored.get_tensor(n) for n in stored.keys() if n not in dropped}  # noqa: SIM118
    save_file(kept, path)
    scene.base = scene.root / "plain"
    return ["--adapter", str(scene.root / "grown")]


def text_as_base(scene: Scene) -> list[str]:
    scene.base = scene.write("diary.txt", "Dear diary")
    return []


def raw(name: str, content: bytes) -> Case:
    """A file of the base with bytes that are not text."""

    def case(scene: Scene) -> list[str]:
        (scene.base / name).write_bytes(content)
        return []

    return case


def header(text: str) -> Case:
    """A safetensors file of this header, and some bytes."""
    data = text.encode()
    return raw("model.safetensors", len(data).to_bytes(8, "little") + data + bytes(64))


def entry(**changes: Any) -> Case:
    """A safetensors file of one tensor with a header that is not as it should be."""
    good = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return header(json.dumps({"x": good | changes}))


def base_above_checkpoints(scene: Scene) -> list[str]:
    scene.base = above_checkpoints(scene.base)
    return []


def of_mistral(scene: Scene) -> list[str]:
    """Mistral's own format."""
    scene.base = scene.root / "mistral"
    scene.base.mkdir()
    for name in ("params.json", "tekken.json"):
        (scene.base / name).write_text("{}")
    return []


DEEP = '{"a":' * 100_000


MODELS: dict[str, tuple[Case, str]] = {
    # the base's weights
    "a missing shard": (shard(lambda data: None), "lacks model-00002-of-"),
    "a truncated shard": (shard(lambda data: data[:-1]), "is truncated"),
    "a garbled header": (shard(lambda data: b"\xff" * 200), "is not a safetensors file"),
    "an empty shard": (shard(lambda data: b""), "is not a safetensors file"),
    "a shard of text": (
        shard(lambda data: b"version https://git-lfs"),
        "is not a safetensors file",
    ),
    "an index that is not JSON": (index("{"), "model.safetensors.index.json"),
    "an index without a map": (index("{}"), "model.safetensors.index.json"),
    "no weights": (file("model.safetensors", None), "has no .safetensors file"),
    "a pickle": (pickle("base", "pytorch_model.bin"), "pickles, which can run code"),
    "integers": (tensors({f"{Q}.weight": np.ones((96, 64), np.int32)}), "is stored as I32"),
    "doubles": (tensors({f"{Q}.weight": np.ones((96, 64), np.float64)}), "is stored as F64"),
    "NaN": (spoiled(f"{Q}.weight", np.nan), "blk.0.attn_q.weight has 1 values"),
    "NaN in a norm": (spoiled(NORM, np.nan), "output_norm.weight has 1 values"),
    "infinity": (spoiled("lm_head.weight", -np.inf), "output.weight has 1 values"),
    "too large for F16": (
        spoiled(f"{Q}.weight", 1e6, "--quant", "F16"),
        "blk.0.attn_q.weight has values that F16 cannot hold. Take BF16",
    ),
    "too large for BF16": (
        spoiled(f"{Q}.weight", 3.4028e38, "--quant", "BF16"),
        "blk.0.attn_q.weight has values that BF16 cannot hold",
    ),
    "a shape of another config": (
        config(intermediate_size=128),
        "mlp.down_proj.weight is (64, 96); config.json makes it (64, 128)",
    ),
    "a vocabulary of another config": (
        config(vocab_size=400),
        "is (320, 64); config.json makes it (400, 64)",
    ),
    "a missing tensor": (tensors({NORM: None}), "lacks 1 tensors, output_norm.weight"),
    "a head that should be there": (tensors({"lm_head.weight": None}), "lacks 1 tensors, output"),
    "a tensor too many": (tensors({"model.layers.0.router.weight": ones(4)}), "router"),
    "a layer too many": (config(num_hidden_layers=2), "lacks 9 tensors"),
    "a layer too few": (tensors({"model.layers.1.mlp.up_proj.weight": ones(96, 64)}), "layers.1"),
    "an index to another folder": (
        index('{"weight_map": {"a": "../base/model.safetensors"}}'),
        "is not an index of shards",
    ),
    "an index of numbers": (index('{"weight_map": {"a": 5}}'), "is not an index of shards"),
    "an index nested deeply": (index(DEEP), "is not an index of shards"),
    "a header nested deeply": (header(DEEP), "is not a safetensors file"),
    "a shape of words": (entry(shape=["4"]), "is not a safetensors file: x is of the type"),
    "a shape below zero": (entry(shape=[-4]), "is not a safetensors file: x is of the type"),
    "a shape without a list": (entry(shape=4), "is not a safetensors file"),
    "a shape of a list": (entry(shape=[[4]]), "is not a safetensors file"),
    "a shape of an object": (entry(shape={"a": 1}), "is not a safetensors file"),
    "a shape too large": (entry(shape=[1 << 40, 1 << 40]), "has 16 bytes"),
    "a fraction as shape": (entry(shape=[4.0]), "is not a safetensors file"),
    "a type without a name": (entry(dtype=["F32"]), "is not a safetensors file"),
    "one offset": (entry(data_offsets=[0]), "is not a safetensors file"),
    "an offset below zero": (entry(data_offsets=[-900, 16]), "is not a safetensors file"),
    "an end before its beginning": (entry(data_offsets=[16, 0]), "is not a safetensors file"),
    "an offset in words": (entry(data_offsets=["0", "16"]), "is not a safetensors file"),
    "bytes of two tensors": (
        header(
            '{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "b": {"dtype": '
            '"F32", "shape": [4], "data_offsets": [12, 28]}}'
        ),
        "model.safetensors is damaged: a and b have the same bytes",
    ),
    "a header that is a list": (header("[1]"), "is not a safetensors file"),
    "a tensor that is a number": (header('{"x": 1}'), "is not a safetensors file"),
    # config.json
    "a config nested deeply": (file("config.json", DEEP), "is nested too deeply"),
    "a config behind a mark": (raw("config.json", b"\xef\xbb\xbf{}"), "Save it as UTF-8 without"),
    "a config in UTF-16": (raw("config.json", b"\xff\xfe{\0}\0"), "Save it as UTF-8 without"),
    "a config in Latin-1": (raw("config.json", b'{"a": "\xe9"}'), "config.json is not JSON"),
    "Mistral's own format": (of_mistral, "It is in Mistral's own format (params.json)"),
    "a folder above checkpoints": (base_above_checkpoints, "the newest is "),
    "an architecture that is a text": (config(architectures="Llama"), "architectures is 'Llama'"),
    "a quantization in words": (config(quantization_config="int8"), "is quantized with"),
    "yarn in words": (
        config(rope_scaling={"rope_type": "yarn", "factor": 4.0, "beta_fast": "32"}),
        "beta_fast is '32'",
    ),
    "no config": (file("config.json", None), "has no config.json"),
    "a config that is not JSON": (file("config.json", "{"), "config.json is not JSON"),
    "a config that is a list": (file("config.json", "[]"), "config.json"),
    "no architecture": (config(architectures=None, model_type=None), "config.json"),
    "another architecture": (
        config(architectures=["Qwen2ForCausalLM"]),
        f"Qwen2ForCausalLM cannot be converted. Architectures that can: {', '.join(ARCHITECTURES)}",
    ),
    "experts": (config(architectures=["MixtralForCausalLM"]), "MixtralForCausalLM cannot be"),
    "hidden experts": (config(num_local_experts=8), "cannot be converted"),
    "no size": (config(hidden_size=None), "hidden_size is None"),
    "a size of zero": (config(num_attention_heads=0), "num_attention_heads is 0"),
    "a size in words": (config(intermediate_size="96"), "intermediate_size is '96'"),
    "an odd head": (config(head_dim=7), "config.json"),
    "an epsilon in words": (config(rms_norm_eps="tiny"), "rms_norm_eps"),
    "a theta in words": (config(rope_theta="many"), "rope_theta"),
    "a scaling in words": (config(rope_scaling="linear"), "rope_scaling"),
    "an unknown scaling": (
        config(rope_scaling={"rope_type": "longrope", "factor": 2.0}),
        "the RoPE scaling",
    ),
    "another activation": (config(hidden_act="gelu"), "hidden_act is 'gelu'"),
    "a context that is too long": (
        config(max_position_embeddings=2**40),
        "max_position_embeddings is 1099511627776; it must be a whole number, 1 to 2147483647",
    ),
    # the tokenizer
    "no tokenizer": (file("tokenizer.json", None), "has no tokenizer.json"),
    "a tokenizer that is not JSON": (file("tokenizer.json", "{"), "is not a tokenizer"),
    "a tokenizer of another kind": (
        file("tokenizer.json", '{"model": {"type": "WordLevel", "vocab": {}, "unk_token": "u"}}'),
        "is of the kind WordLevel; ",
    ),
    "tokenizer settings that are no JSON": (file("tokenizer_config.json", "{"), "Cannot read"),
    "a token twice": (twice, "the tokens 320 and 321 are both ' ab'"),
    "another pre-tokenizer": (options("--pre", "falcon"), "into other tokens than the tokenizer"),
    "no pre-tokenizer": (options("--pre", "nonsense"), "nonsense"),
    "a tokenizer that has grown": (tokenizer_of_the_adapter, "has a tokenizer of 321 tokens"),
    "a tokenizer behind a mark": (raw("tokenizer.json", b"\xef\xbb\xbf{}"), "Save it as UTF-8"),
    "a tokenizer in Latin-1": (raw("tokenizer.json", b"\xe9"), "is not a tokenizer"),
    "tokenizer settings in Latin-1": (raw("tokenizer_config.json", b"\xe9"), "Cannot read"),
    "tokenizer settings nested deeply": (file("tokenizer_config.json", DEEP), "Cannot read"),
    "tokenizer settings that are a list": (
        file("tokenizer_config.json", "[1]"),
        "are not as transformers saves them",
    ),
    # the base's name
    "no folder": (base_named("nowhere"), "There is no folder"),
    "a text as the base": (text_as_base, "diary.txt is a file"),
    "an empty folder": (empty_folder("empty"), "has no config.json"),
}
