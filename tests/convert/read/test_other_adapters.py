"""Adapters as llama.cpp and MLX have them, beside the same one as PEFT has it."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp as lib
import numpy as np
import pytest
from conversions import Pair, converted, request, tensors_of
from gguf import GGUFWriter, LlamaFileType
from hf_models import TINY, write_adapter, write_mistral
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from relay_gguf.convert.arch.gguf_base import MODULES
from relay_gguf.convert.arch.llama import permute
from relay_gguf.convert.job import prepare
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import read_header
from relay_gguf.llama.log import LogLines

Arrays = dict[str, NDArray[Any]]
ALPHA = 3.0
EMBEDDING = "base_model.model.model.embed_tokens"


@pytest.fixture(scope="module")
def pair(chatml: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """An untied base in F32 and a PEFT adapter that changes linears and the embedding a lot."""
    root = tmp_path_factory.mktemp("other")
    base = write_mistral(root / "Tiny-Base", chatml, TINY, dtype="F32")
    adapter = write_adapter(root / "lora", base, rank=4)
    edit(adapter, lora_alpha=ALPHA)
    path = adapter / "adapter_model.safetensors"
    rng = np.random.default_rng(0)
    vocab = json.loads((base / "config.json").read_text("utf-8"))["vocab_size"]
    tensors = {key: 10 * value for key, value in load_file(path).items()}
    tensors[f"{EMBEDDING}.lora_embedding_A"] = rng.normal(0, 0.2, (4, vocab)).astype(np.float32)
    tensors[f"{EMBEDDING}.lora_embedding_B"] = rng.normal(0, 0.2, (64, 4)).astype(np.float32)
    save_file(tensors, path)
    return Pair(base, adapter)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def modules(adapter: Path) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Of each module of a PEFT adapter: its name in the base, A and B."""
    tensors = load_file(adapter / "adapter_model.safetensors")
    for key, a in tensors.items():
        for sort in ("lora_A", "lora_embedding_A"):
            if f".{sort}" in key:
                b = tensors[key.replace(sort, sort[:-1] + "B")]
                yield key.partition(f".{sort}")[0].removeprefix("base_model.model."), a, b


# llama.cpp's


def write_gguf(path: Path, adapter: Path, **keys: Any) -> Path:
    """What convert_lora_to_gguf.py makes of an adapter.

    It permutes the rows of q and k, and transposes the embedding's A.
    """
    writer = GGUFWriter(None, "llama")
    values = {"kind": "adapter", "sort": "lora", "alpha": ALPHA} | keys
    writer.add_type(values["kind"])
    writer.add_string("adapter.type", values["sort"])
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_float32("adapter.lora.alpha", values["alpha"])
    names = {theirs: ours for ours, theirs in MODULES.items()}
    for module, a, b in modules(adapter):
        found = module.removeprefix("model.layers.0.")
        name = names[found] if found == module else f"blk.0.{names[found]}"
        if name.endswith(("attn_q", "attn_k")):
            b = permute(b, TINY.head_dim)
        a = np.ascontiguousarray(a.T) if name == "token_embd" else a
        writer.add_tensor(f"{name}.weight.lora_a", a)
        writer.add_tensor(f"{name}.weight.lora_b", np.ascontiguousarray(b))
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_lora_in_gguf_is_merged_as_its_folder_is(pair: Pair, tmp_path: Path) -> None:
    lora = write_gguf(tmp_path / "lora.gguf", pair.adapter)
    ((base,),) = converted(request(pair.base, "F32"), tmp_path / "base").values()
    for number, source in enumerate((pair.base, base)):
        files = [
            converted(request(source, "F32", "Q8_0", adapter=adapter), tmp_path / f"{number}{i}")
            for i, adapter in enumerate((pair.adapter, lora))
        ]
        for ftype in ("F32", "Q8_0"):
            (left,), (right,) = (found[ftype] for found in files)
            assert tensors_of(left) == tensors_of(right)
            keys, others = (dict(read_header(path).metadata) for path in (left, right))
            assert keys.pop("relay.adapter_sha256") != others.pop("relay.adapter_sha256")
            for key in keys.keys() | others.keys():
                if not key.startswith("general.base_model"):
                    assert keys.get(key) == others.get(key), key


@contextmanager
def context(path: Path, lora: Path | None = None) -> Iterator[Callable[[list[int]], Any]]:
    """llama.cpp's own logits after some tokens, with an adapter applied as it computes."""
    with LogLines():
        model = lib.llama_model_load_from_file(os.fsencode(path), lib.llama_model_default_params())
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = 64
        ctx = lib.llama_init_from_model(model, params)
        if lora is not None:
            adapter = lib.llama_adapter_lora_init(model, os.fsencode(lora))
            assert adapter
            adapters = (lib.llama_adapter_lora_p_ctypes * 1)(adapter)
            assert not lib.llama_set_adapters_lora(ctx, adapters, 1, (ctypes.c_float * 1)(1.0))

        def logits(tokens: list[int]) -> Any:
            array = (lib.llama_token * len(tokens))(*tokens)  # the batch only points to it
            batch = lib.llama_batch_get_one(array, len(tokens))
            lib.llama_memory_clear(lib.llama_get_memory(ctx), True)
            assert lib.llama_decode(ctx, batch) == 0
            n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
            return np.ctypeslib.as_array(lib.llama_get_logits_ith(ctx, -1), (n_vocab,)).copy()

        try:
            yield logits
        finally:
            lib.llama_free(ctx)
            lib.llama_model_free(model)


def test_llama_cpp_computes_with_the_lora_what_the_merged_file_does(
    pair: Pair, tmp_path: Path
) -> None:
    lora = write_gguf(tmp_path / "lora.gguf", pair.adapter)
    ((base,),) = converted(request(pair.base, "F32"), tmp_path / "base").values()
    ((merged,),) = converted(request(pair.base, "F32", adapter=lora), tmp_path / "out").values()
    tokens = [*range(20, 60)]
    with context(base) as plain, context(base, lora) as live, context(merged) as ours:
        without, expected, found = plain(tokens), live(tokens), ours(tokens)
    moved = np.abs(expected - without).max()
    assert moved > 0.1
    assert np.abs(found - expected).max() < 1e-3 * moved


# MLX's


def write_mlx(folder: Path, adapter: Path, **parameters: Any) -> Path:
    """What mlx_lm would have saved."""
    folder.mkdir()
    tensors: Arrays = {}
    for module, a, b in modules(adapter):
        a, b = (a.T, b.T)
        tensors |= {f"{module}.lora_a": a, f"{module}.lora_b": b}
    config = {
        "fine_tune_type": "lora",
        "num_layers": 16,
        "model": "mlx-community/Tiny-Base-4bit",
        "lora_parameters": {"rank": 4, "scale": ALPHA / 4, "dropout": 0.0} | parameters,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    copies = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    save_file(copies, folder / "adapters.safetensors")
    return folder


def test_an_adapter_of_mlx_is_merged_as_the_same_of_peft_is(pair: Pair, tmp_path: Path) -> None:
    mlx = write_mlx(tmp_path / "mlx", pair.adapter)
    files = [
        converted(request(pair.base, "F32", adapter=adapter), tmp_path / adapter.name)["F32"][0]
        for adapter in (pair.adapter, mlx)
    ]
    assert tensors_of(files[0]) == tensors_of(files[1])
    assert "a base in bnb-4bit" not in prepare(request(pair.base, "F32", adapter=mlx)).model.notes


@pytest.mark.parametrize("sort", ["dora", "full"])
def test_other_ways_to_train_with_mlx(sort: str, pair: Pair, tmp_path: Path) -> None:
    mlx, name = write_mlx(tmp_path / "mlx", pair.adapter), "model.layers.0.mlp.up_proj"
    weight = load_file(next(pair.base.glob("*.safetensors")))[f"{name}.weight"]
    changed: Mapping[str, Any]
    if sort == "full":
        expected = weight * 2
        changed = {f"{name}.weight": expected}
    else:
        lora = load_file(mlx / "adapters.safetensors")
        a, b = lora[f"{name}.lora_a"], lora[f"{name}.lora_b"]
        m = np.linspace(1, 2, len(weight)).astype(np.float32)
        adapted = weight + ALPHA / 4 * (b.T @ a.T)
        expected = adapted * (m / np.linalg.norm(adapted, axis=1))[:, None]
        changed = {f"{name}.lora_a": a, f"{name}.lora_b": b, f"{name}.m": m}
    save_file(dict(changed), mlx / "adapters.safetensors")
    edit(mlx, fine_tune_type=sort)
    ((path,),) = converted(request(pair.base, "F32", adapter=mlx), tmp_path / "out").values()
    found = np.frombuffer(tensors_of(path)["blk.0.ffn_up.weight"][2], np.float32)
    np.testing.assert_allclose(found.reshape(weight.shape), expected, atol=1e-6)


def test_what_cannot_be_merged_says_why(pair: Pair, tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf", pair.adapter, kind="model")
    other = write_gguf(tmp_path / "other.gguf", pair.adapter, sort="control_vector")
    lora = write_gguf(tmp_path / "lora.gguf", pair.adapter)
    old = write_mlx(tmp_path / "old", pair.adapter, alpha=16.0, scale=10.0)
    wordless = write_mlx(tmp_path / "wordless", pair.adapter, scale=None)
    empty = write_mlx(tmp_path / "empty", pair.adapter)
    (empty / "adapters.safetensors").unlink()
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(lora, folder)
    wanted = {
        whole: "is a whole model, not an adapter",
        other: "is an adapter of the type control_vector",
        old: "a scale of 10.0 and an alpha of 16.0. Early versions",
        wordless: "the scale in lora_parameters is None",
        empty: "has no adapters.safetensors",
        folder: "give the file: .*lora.gguf",
    }
    for adapter, message in wanted.items():
        with pytest.raises(ConversionError, match=message):
            prepare(request(pair.base, "F32", adapter=adapter))
    for adapter in (None, pair.adapter):
        with pytest.raises(ConversionError, match="is an adapter: give it as --adapter"):
            prepare(request(lora, "F32", adapter=adapter))


def test_a_trained_embedding_unties_a_base_but_in_mlx(
    pair: Pair, chatml: Path, tmp_path: Path
) -> None:
    """MLX computes the logits of a tied model with the trained embedding, PEFT with the base's."""
    base = write_mistral(tmp_path / "Tied", chatml, TINY, dtype="F32", tied=True)
    lora = write_gguf(tmp_path / "lora.gguf", pair.adapter)
    mlx = write_mlx(tmp_path / "mlx", pair.adapter)
    for adapter, unties in ((pair.adapter, True), (lora, True), (mlx, False)):
        job = prepare(request(base, "F32", adapter=adapter))
        assert ("output.weight" in {tensor.name for tensor in job.tensors}) is unties
