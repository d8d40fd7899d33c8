"""What cannot be converted: one line that says why, exit code 1, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import tensors_of
from gguf import GGUFWriter
from hf_models import TINY, write_adapter, write_mistral
from hf_tokenizers import dump_json, load_json
from numpy.typing import NDArray
from pico import write_pico
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from relay_gguf.cli.app import main
from relay_gguf.convert.arch.llama import ARCHITECTURES
from relay_gguf.convert.quantize.ftypes import FTYPES
from relay_gguf.gguf_file.header import TensorInfo, Value, ValueType, pack_header, read_header

Q = "model.layers.0.self_attn.q_proj"
NORM = "model.norm.weight"


@dataclass
class Scene:
    """Folders that a case may spoil, and what it is run with."""

    root: Path
    base: Path
    adapter: Path
    smollm2: Path
    pico: Path

    @property
    def out(self) -> Path:
        return self.root / "out"

    def edit(self, path: Path, **changes: Any) -> None:
        """Change entries of a JSON file; None takes one away."""
        values = load_json(path) | changes
        dump_json(path, {name: value for name, value in values.items() if value is not None})

    def config(self, **changes: Any) -> list[str]:
        self.edit(self.base / "config.json", **changes)
        return []

    def adapter_config(self, **changes: Any) -> list[str]:
        self.edit(self.adapter / "adapter_config.json", **changes)
        return ["--adapter", str(self.adapter)]

    def tensors(
        self, changes: Mapping[str, NDArray[Any] | None], adapter: bool = False
    ) -> list[str]:
        """Change tensors; None takes one away."""
        path = self.base / "model.safetensors"
        if adapter:
            path = self.adapter / "adapter_model.safetensors"
        values: dict[str, NDArray[Any] | None] = {**load_file(path), **changes}
        save_file({name: value for name, value in values.items() if value is not None}, path)
        return ["--adapter", str(self.adapter)] if adapter else []

    def spoil(self, name: str, value: float, adapter: bool = False) -> list[str]:
        """Write a value into the middle of a tensor."""
        path = self.base / "model.safetensors"
        if adapter:
            path = self.adapter / "adapter_model.safetensors"
        tensor = load_file(path)[name].copy()
        tensor.reshape(-1)[tensor.size // 2] = value
        return self.tensors({name: tensor}, adapter)

    def write(self, name: str, content: str | bytes) -> Path:
        """A file beside the folders."""
        path = self.root / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def gguf(self, content: bytes) -> list[str]:
        """A GGUF file in the place of the base."""
        self.base = self.write("model.gguf", content)
        return []


@pytest.fixture(scope="module")
def folders(plain: Path, chatml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer, the same in shards, and an adapter."""
    root = tmp_path_factory.mktemp("good")
    write_mistral(root / "base", chatml, TINY, dtype="F32")
    write_mistral(root / "sharded", chatml, TINY, dtype="BF16", shard_bytes=50_000)
    write_adapter(root / "adapter", root / "base")
    write_adapter(
        root / "grown", write_mistral(root / "plain", plain, TINY, dtype="F32"), grow=["<|im_end|>"]
    )
    return root


@pytest.fixture
def scene(folders: Path, smollm2: Path, pico: Path, tmp_path: Path) -> Scene:
    shutil.copytree(folders, tmp_path / "in")
    root = tmp_path / "in"
    return Scene(root, root / "base", root / "adapter", smollm2, pico)


Case = Callable[[Scene], list[str]]
"""Spoils something; options to convert with."""


def shard(content: Callable[[bytes], bytes | None]) -> Case:
    """The second shard with another content; None removes it."""

    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / "sharded"
        path = sorted(scene.base.glob("*.safetensors"))[1]
        found = content(path.read_bytes())
        path.unlink()
        if found is not None:
            path.write_bytes(found)
        return []

    return case


def file(name: str, content: str | None, *, adapter: bool = False) -> Case:
    """A file of the base with another content; None removes it."""

    def case(scene: Scene) -> list[str]:
        path = (scene.adapter if adapter else scene.base) / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content, "utf-8")
        return ["--adapter", str(scene.adapter)] if adapter else []

    return case


def preset(text: str) -> Case:
    return lambda scene: ["--preset", str(scene.write("mine.toml", text))]


def imatrix(content: bytes) -> Case:
    return lambda scene: ["--imatrix", str(scene.write("imatrix", content))]


def index(text: str) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / "sharded"
        (scene.base / "model.safetensors.index.json").write_text(text)
        return []

    return case


def config(**changes: Any) -> Case:
    return lambda scene: scene.config(**changes)


def adapter_config(**changes: Any) -> Case:
    return lambda scene: scene.adapter_config(**changes)


def options(*given: str) -> Case:
    return lambda scene: list(given)


def tensors(changes: Mapping[str, NDArray[Any] | None], *, adapter: bool = False) -> Case:
    return lambda scene: scene.tensors(changes, adapter)


def spoiled(name: str, value: float, *given: str, adapter: bool = False) -> Case:
    return lambda scene: [*scene.spoil(name, value, adapter), *given]


def pickle(folder: str, name: str) -> Case:
    def case(scene: Scene) -> list[str]:
        (path,) = (scene.root / folder).glob("*.safetensors")
        path.rename(path.with_name(name))
        return ["--adapter", str(scene.adapter)] if folder == "adapter" else []

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


def adapter_given_as(base: str, adapter: str | None) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / base
        return [] if adapter is None else ["--adapter", str(scene.root / adapter)]

    return case


def base_named(name: str) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / name
        return []

    return case


def empty_folder(name: str) -> Case:
    def case(scene: Scene) -> list[str]:
        scene.base = scene.root / name
        scene.base.mkdir()
        return []

    return case


def text_as_base(scene: Scene) -> list[str]:
    scene.base = scene.write("diary.txt", "Dear diary")
    return []


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


def above_checkpoints(folder: Path) -> Path:
    for steps in (90, 200, 1000):
        shutil.copytree(folder, folder.parent / "run" / f"checkpoint-{steps}")
    (folder.parent / "run" / "checkpoint-last").mkdir()
    return folder.parent / "run"


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


def shrunk(scene: Scene) -> list[str]:
    """An adapter whose embedding has fewer rows than the base's."""
    key = "base_model.model.model.embed_tokens.weight"
    return scene.tensors({key: ones(300, 64)}, adapter=True)


def twofold(scene: Scene) -> list[str]:
    key = f"base_model.model.{Q}.lora_"
    more = {f"{key}A.other.weight": ones(8, 64), f"{key}B.other.weight": ones(96, 8)}
    return scene.tensors(dict(more), adapter=True)


TOKENS = "model.embed_tokens.token_adapter.trainable_tokens_delta"
DEEP = '{"a":' * 100_000
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


def ones(*shape: int) -> NDArray[np.float32]:
    return np.ones(shape, np.float32)


LEFTOVER = "base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight"
BEYOND = "base_model.model.model.layers.9.self_attn.q_proj"
CASES: dict[str, tuple[Case, str]] = {
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
    "a header that is a list": (header("[1]"), "is not a safetensors file"),
    "a tensor that is a number": (header('{"x": 1}'), "is not a safetensors file"),
    # config.json
    "a config nested deeply": (file("config.json", DEEP), "is nested too deeply"),
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
    "a tokenizer in Latin-1": (raw("tokenizer.json", b"\xe9"), "is not a tokenizer"),
    "tokenizer settings in Latin-1": (raw("tokenizer_config.json", b"\xe9"), "Cannot read"),
    "tokenizer settings nested deeply": (file("tokenizer_config.json", DEEP), "Cannot read"),
    "tokenizer settings that are a list": (
        file("tokenizer_config.json", "[1]"),
        "are not as transformers saves them",
    ),
    # the adapter
    "ranks in a list": (adapter_config(rank_pattern=["q_proj"]), "it must be an object"),
    "a rank in words": (adapter_config(rank_pattern={"q": "8"}), "not a number"),
    "an alpha of infinity": (adapter_config(lora_alpha=float("inf")), "it must be a number"),
    "a broken pattern": (adapter_config(alpha_pattern={"(": 8}), "not a regular expression"),
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
    # options
    "an unknown type": (options("--quant", "Q4_K_XXL"), f"The types are: {', '.join(FTYPES)}"),
    "a type twice": (options("--quant", "Q8_0", "--quant", "q8_0"), "asked for twice"),
    "an unknown merge base": (
        options("--merge-base", "nf8"),
        "--merge-base is 'nf8'; it may be auto, original, nf4, nf4-double",
    ),
    "a merge base without an adapter": (options("--merge-base", "nf4"), "give --adapter"),
    "one name for two": (
        options("--quant", "F16", "--quant", "Q8_0", "--name", "m.gguf"),
        "'m.gguf' has no {type}",
    ),
    "a name with a folder": (options("--name", "../m.gguf"), "is not a file name"),
    "a name of no GGUF file": (options("--name", "m.bin"), "is not a file name"),
    "a context longer than a file can say": (
        options("--context-length", str(2**32)),
        "context",
    ),
    **{
        f"parts of {size or 'nothing'}": (
            options(f"--split-max-size={size}"),
            f"--split-max-size is {size!r}; it should be like 4G or 500M",
        )
        for size in ("", "0", "0G", "4T", "4.5G", "-4G", "much", "G")
    },
    # presets
    "an unknown preset": (options("--preset", "mine"), "There is no preset 'mine'. There are: all"),
    "a preset that is not there": (options("--preset", "./no.toml"), "Cannot read no.toml"),
    "a preset that is not TOML": (preset("types = ["), "mine.toml is not a TOML file"),
    "a preset without types": (preset("types = []"), "mine.toml: types = []: at least one"),
    "a preset of nothing": (preset(""), "mine.toml: types = None: at least one"),
    "a preset's unknown key": (
        preset('types = ["F16"]\nquants = 1'),
        "mine.toml: quants = 1: the keys are description, types",
    ),
    "a preset's unknown type": (
        preset('types = ["Q9_0"]'),
        "mine.toml: types = 'Q9_0': the types are F32, F16",
    ),
    "a preset's type that is a list": (preset('types = [["F16"]]'), "mine.toml: types = "),
    "a preset's type twice": (preset('types = ["F16", "F16"]'), "mine.toml: types = "),
    "a preset's types that are a text": (
        preset('types = "F16"'),
        "mine.toml: types = 'F16': it should be a list",
    ),
    "a preset's file": (
        preset('types = ["F16"]\nfile = "m.gguf"'),
        "mine.toml: file = 'm.gguf': it should be a name like model-{type}.gguf",
    ),
    "a preset's context": (
        preset('types = ["F16"]\ncontext_length = -1'),
        "mine.toml: context_length = -1",
    ),
    "a preset's context that is too long": (
        preset(f'types = ["F16"]\ncontext_length = {2**32}'),
        f"mine.toml: context_length = {2**32}",
    ),
    "a preset's switch": (
        preset('types = ["F16"]\ncontext_length = true'),
        "mine.toml: context_length = True: it should be a int",
    ),
    "a preset's unknown setting": (
        preset('types = ["F16"]\n[sampling]\ntemp = 1'),
        "mine.toml: sampling.temp = 1: the keys are temperature, top_k",
    ),
    "a preset's setting in words": (
        preset('types = ["F16"]\n[sampling]\ntemperature = "hot"'),
        "mine.toml: sampling.temperature = 'hot': it should be a number",
    ),
    "a preset's half token": (
        preset('types = ["F16"]\n[sampling]\ntop_k = 1.5'),
        "mine.toml: sampling.top_k = 1.5",
    ),
    "a preset's setting that is too large": (
        preset(f'types = ["F16"]\n[sampling]\ntop_k = {2**40}'),
        f"mine.toml: sampling.top_k = {2**40}",
    ),
    "a preset's unknown field": (
        preset('types = ["F16"]\n[card]\ntitle = "M"'),
        "mine.toml: card.title = 'M': the keys are name",
    ),
    "a preset's license": (
        preset('types = ["F16"]\n[card]\nlicense = 2'),
        "mine.toml: card.license = 2: it should be a text",
    ),
    "a preset's datasets": (
        preset('types = ["F16"]\n[card]\ndatasets = "a/b"'),
        "mine.toml: card.datasets = 'a/b': it should be a list of texts",
    ),
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
    # the base's name
    "no folder": (base_named("nowhere"), "There is no folder"),
    "a text as the base": (text_as_base, "diary.txt is a file"),
    "an empty folder": (empty_folder("empty"), "has no config.json"),
}


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What the command says when it ends with 1."""
    with pytest.raises(SystemExit) as exit_:
        main(["convert", *map(str, arguments), "--quiet"])
    printed = capfd.readouterr()
    assert (exit_.value.code, printed.out) == (1, ""), printed.err
    (line,) = printed.err.splitlines()
    assert line.startswith("relay-gguf: ")
    assert "This is a bug" not in line
    return line.removeprefix("relay-gguf: ")


@pytest.mark.parametrize(("case", "says"), CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused_before_anything_is_written(
    case: Case,
    says: str,
    scene: Scene,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(scene.root)
    given = case(scene)
    if "--quant" not in given and "--preset" not in given:
        given += ["--quant", "Q8_0"]
    if "--pre" not in given and scene.base.suffix != ".gguf":
        given += ["--pre", "smollm"]
    assert says in refused(capfd, scene.base, *given, "--out", scene.out)
    assert not scene.out.exists()


def test_an_unknown_pre_tokenizer_is_refused_with_a_remedy(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    said = refused(capfd, scene.base, "--quant", "Q8_0", "--out", scene.out)
    assert said.startswith(
        f"{scene.base / 'tokenizer.json'} has a pre-tokenizer that is not in llama.cpp's "
    )
    assert said.endswith("If you know its name there, give it: --pre NAME.")


def test_a_gguf_file_keeps_its_own_pre_tokenizer(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    given = (scene.pico, "--quant", "Q8_0", "--out", scene.out)
    found = read_header(scene.pico).metadata["tokenizer.ggml.pre"].value
    for more in ((), ("--adapter", scene.adapter)):
        assert refused(capfd, *given, *more, "--pre", "foo") == (
            f"--pre is for a model in safetensors: {scene.pico} is a GGUF file, which has its "
            f"pre-tokenizer already, {found}. Leave --pre out."
        )
    assert not scene.out.exists()
    with pytest.raises(SystemExit) as exit_:
        main(["convert", *map(str, given), "--pre", str(found), "--quiet"])
    assert exit_.value.code == 0


def test_a_conversion_needs_a_type(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    said = refused(capfd, scene.base, "--out", scene.out)
    assert said == "No type is asked for. Give --quant TYPE or --preset NAME."


def test_a_file_cannot_be_the_output_folder(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    path = scene.write("a file", "mine")
    for out in (path, path / "below"):
        given = (scene.base, "--pre", "smollm", "--quant", "Q8_0", "--out", out)
        said = refused(capfd, *given)
        assert said.startswith(f"Cannot write {out}: ")
        assert said.endswith(" is not a folder.")
        assert refused(capfd, *given, "--dry-run") == said
    assert path.read_text() == "mine"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_can_be_allowed(value: float, scene: Scene) -> None:
    scene.spoil(f"{Q}.weight", value)
    given = [str(scene.base), "--pre", "smollm", "--out", str(scene.out), "--allow-nonfinite"]
    with pytest.raises(SystemExit) as exit_:
        main(["convert", *given, "--quant", "F32", "--quant", "F16", "--quant", "Q8_0", "--quiet"])
    assert exit_.value.code == 0
    for ftype in ("F32", "F16", "Q8_0"):
        path = scene.out / f"base-{ftype}.gguf"
        assert set(tensors_of(path)) == {info.name for info in read_header(path).tensors}
    stored = np.frombuffer(tensors_of(scene.out / "base-F32.gguf")["blk.0.attn_q.weight"][2], "<f4")
    assert np.count_nonzero(~np.isfinite(stored)) == 1

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text = (scene.out / "base-Q8_0.report.json").read_text("utf-8")
    report = json.loads(text, parse_constant=refuse)
    assert report["verified"]
    (spoiled_tensor,) = [t for t in report["tensors"] if t["name"] == "blk.0.attn_q.weight"]
    assert any("finite" in said for said in (*spoiled_tensor, *report["notes"]))
