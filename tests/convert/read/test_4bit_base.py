"""A checkpoint in bitsandbytes' 4 bits as the base, from folder to file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hf_models import TINY, write_adapter, write_mistral
from hf_tokenizers import write_small_tokenizer, write_tokenizer
from safetensors.numpy import save_file

from relay_gguf.convert.arch.weights import GgufWeights
from relay_gguf.convert.job import prepare
from relay_gguf.convert.read import nf4
from relay_gguf.convert.read.arrays import Array, Bytes
from relay_gguf.convert.read.checkpoint import open_folder
from relay_gguf.convert.read.merge import LINEARS, MergeBase
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import ConvertedFiles, run
from relay_gguf.errors import ConversionError


@pytest.fixture(scope="module")
def base(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("4bit")
    tokenizer = write_small_tokenizer(root / "small", write_tokenizer(root / "full", smollm2))
    return write_mistral(root / "base", tokenizer, TINY, dtype="F32")


def in_4_bits(base: Path, folder: Path, *, double: bool) -> Path:
    """The model as bitsandbytes saves it: codes two a byte, the first in the upper half."""
    folder.mkdir()
    for path in base.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    checkpoint = open_folder(base)
    tensors: dict[str, Array | Bytes] = {}
    for name in checkpoint.infos:
        rows = checkpoint.rows(name)
        if not name.endswith(tuple(f"{linear}.weight" for linear in LINEARS)):
            tensors[name] = rows
            continue
        absmax = nf4.block_absmax(rows)
        scaled = rows.reshape(-1) * np.repeat(np.float32(1) / absmax, 64)[: rows.size]
        codes = np.searchsorted((nf4.CODES[:-1] + nf4.CODES[1:]) / 2, scaled, "left")
        tensors[name] = (codes[0::2] << 4 | codes[1::2]).astype(np.uint8).reshape(-1, 1)
        tensors[f"{name}.quant_map"] = nf4.CODES
        state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": rows.shape}
        if double:
            offset = absmax.mean(dtype=np.float32)
            rest = np.pad(absmax - offset, (0, -absmax.size % 256)).reshape(-1, 256)
            nested = np.abs(rest).max(axis=1)
            table = nf4.dynamic_map()
            bounds = (table[:-1] + table[1:]) / np.float32(2)
            codes = np.searchsorted(bounds, rest * (np.float32(1) / nested)[:, None], "left")
            tensors[f"{name}.absmax"] = codes.reshape(-1)[: absmax.size].astype(np.uint8)
            tensors[f"{name}.nested_absmax"] = nested
            tensors[f"{name}.nested_quant_map"] = table
            state |= {"nested_blocksize": 256, "nested_offset": float(offset)}
        else:
            tensors[f"{name}.absmax"] = absmax
        packed = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
        tensors[f"{name}.quant_state.bitsandbytes__nf4"] = packed
    save_file(
        {n: np.ascontiguousarray(t) for n, t in tensors.items()}, folder / "model.safetensors"
    )
    return folder


def values(
    base: Path, out: Path, adapter: Path, merge_base: MergeBase = "original"
) -> dict[str, Array]:
    """Every tensor of the F32 file."""
    request = Request(
        base=str(base),
        ftypes=("F32",),
        adapter=str(adapter),
        merge_base=merge_base,
        pre="smollm",
    )
    (event,) = (event for event in run(prepare(request), out) if isinstance(event, ConvertedFiles))
    weights = GgufWeights(event.paths[0])
    return {t.name: weights.open(t)(0, t.shape[0]).rows for t in weights.tensors}


@pytest.mark.parametrize("double", [False, True])
def test_merging_into_4_bits_is_merging_into_the_round_trip(
    double: bool, base: Path, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    stored = values(in_4_bits(base, tmp_path / "nf4", double=double), tmp_path / "a", adapter)
    merge_base: MergeBase = "nf4-double" if double else "nf4"
    computed = values(base, tmp_path / "b", adapter, merge_base=merge_base)
    original = values(base, tmp_path / "c", adapter)
    assert stored.keys() == computed.keys()
    for name, rows in stored.items():
        assert np.array_equal(rows, computed[name]), name
    assert not np.array_equal(stored["blk.0.ffn_up.weight"], original["blk.0.ffn_up.weight"])


def test_4_bits_are_not_rounded_twice(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    four = in_4_bits(base, tmp_path / "nf4", double=True)
    once = values(four, tmp_path / "a", adapter)
    twice = values(four, tmp_path / "b", adapter, merge_base="nf4-double")
    assert all(np.array_equal(once[name], twice[name]) for name in once)


def test_another_quantization_is_named(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gptq"
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((base / "config.json").read_text("utf-8"))
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ConversionError, match="quantized with gptq"):
        prepare(Request(base=str(folder), ftypes=("F16",), pre="smollm"))
