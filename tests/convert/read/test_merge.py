"""Merging, against what PEFT made of the same adapters (golden/convert/README.md)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from relay_gguf.convert.read import merge
from relay_gguf.convert.read.adapter import Delta, open_adapter
from relay_gguf.convert.read.arrays import Array
from relay_gguf.convert.read.checkpoint import Checkpoint, open_folder
from relay_gguf.convert.read.lora import Lora, load_lora, to_grid
from relay_gguf.convert.read.merge import Merged
from relay_gguf.errors import ConversionError

GOLDEN = Path(__file__).parents[2] / "golden" / "convert" / "merge"
BASES = {
    "plain": "llama",
    "rslora": "llama",
    "dora": "llama",
    "patterns": "llama",
    "bf16_base": "llama",
    "grown": "llama",
    "grown_resolvable": "llama",
    "grown_embedding_lora": "llama",
    "embedding_lora": "llama_bias",
    "embedding_dora": "llama_bias",
    "trainable_tokens": "llama_bias",
    "bias_all": "llama_bias",
    "bias_lora_only": "llama_bias",
    "lora_bias": "llama_bias",
    "tied_lm_head": "llama_tied",
    "tied_embedding_lora": "llama_tied",
    "tied_trainable_tokens": "llama_tied",
    "fan_in_fan_out": "gpt2",
    "fan_in_fan_out_dora": "gpt2",
}


def merged(case: str) -> Merged:
    base = open_folder(GOLDEN / "bases" / BASES[case])
    return Merged(base, open_adapter(GOLDEN / case / "adapter"))


def expected(case: str) -> dict[str, Array]:
    """Every tensor that PEFT has after merging: those it changed, the others from the base."""
    folder = GOLDEN / ("grown" if case == "grown_resolvable" else case)
    base = open_folder(GOLDEN / "bases" / BASES[case])
    tensors = {name: base.rows(name) for name in base.infos}
    with safe_open(folder / "merged.safetensors", "numpy") as file:
        tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tensors


@pytest.mark.parametrize("case", BASES)
def test_weights_are_merged_as_peft_does(case: str) -> None:
    ours, theirs = merged(case), expected(case)
    assert set(ours.infos) == set(theirs)
    for name, tensor in theirs.items():
        assert ours.infos[name].shape == tensor.shape, name
        np.testing.assert_allclose(ours.rows(name), tensor, rtol=0, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("case", ["plain", "dora", "grown_embedding_lora", "embedding_dora"])
@pytest.mark.parametrize("base", ["original", "nf4", "nf4-double"])
def test_slabs_do_not_change_a_bit(
    case: str, base: merge.MergeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened() -> Merged:
        folder = open_folder(GOLDEN / "bases" / BASES[case])
        return Merged(folder, open_adapter(GOLDEN / case / "adapter"), base)

    whole = opened()
    monkeypatch.setattr(merge, "SLAB_BYTES", 7 * 4 * 32)
    parts = opened()
    for name, info in whole.infos.items():
        slabs = [parts.rows(name, i, min(i + 7, info.shape[0])) for i in range(0, info.shape[0], 7)]
        assert np.array_equal(whole.rows(name), np.concatenate(slabs)), name


def lora_of(folder: Path, a: Array, b: Array) -> Lora:
    save_file({"a": a, "b": b}, folder / "lora.safetensors")
    shape = (b.shape[0], a.shape[1])
    return load_lora(Checkpoint([folder / "lora.safetensors"]), Delta("a", "b", 0.5, shape))


def test_a_merged_value_is_rounded_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(-99, 99, (256, 24)).astype(np.float32) / 64
    b = rng.integers(-99, 99, (16, 256)).astype(np.float32) / 4096
    base = rng.standard_normal((16, 24)).astype(np.float32)
    exact = base + 0.5 * (b.astype(np.float64) @ a)  # whole multiples: nothing is rounded yet
    assert np.array_equal(lora_of(tmp_path, a, b).add(base, 0, 16), exact.astype(np.float32))


@pytest.mark.parametrize("rank", [1, 8, 65, 256, 1000])
def test_no_order_of_summation_changes_a_bit(tmp_path: Path, rank: int) -> None:
    rng = np.random.default_rng(rank)
    spread = 2.0 ** rng.integers(-20, 20, (rank, 1))  # small in one matrix, large in the other
    a = (rng.standard_normal((rank, 40)) * spread).astype(np.float32)
    b = (rng.standard_normal((9, rank)) / spread.T).astype(np.float32)
    lora = lora_of(tmp_path, a, b)
    zeros = np.zeros((9, 40), np.float32)
    whole = lora.add(zeros, 0, 9)
    row = np.concatenate([lora.add(zeros[:1], i, i + 1) for i in range(9)])
    shuffled = rng.permutation(rank)
    left = lora.left * lora.factors
    to_grid(left, lora.bits, axis=1)
    other = left[:, shuffled] @ lora.right[shuffled]
    summed = [[math.fsum(x * y) for y in lora.right.T] for x in left]
    for found in (row, other.astype(np.float32), np.float32(summed)):
        assert np.array_equal(found, whole)
    true = 0.5 * (b.astype(np.float64) @ a)
    sizes = 0.5 * (np.abs(b).astype(np.float64) @ np.abs(a))
    assert np.all(np.abs(whole - true) <= 2**-21 * sizes.max())


def test_values_that_are_not_finite_stay_so(tmp_path: Path) -> None:
    a, b = np.ones((3, 4), np.float32), np.ones((2, 3), np.float32)
    a[1, 2], b[0, 0] = np.inf, np.nan
    found = lora_of(tmp_path, a, b).add(np.zeros((2, 4), np.float32), 0, 2)
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [1.5, 1.5, np.inf, 1.5]


def test_the_nf4_base_changes_the_linears_alone() -> None:
    base = open_folder(GOLDEN / "bases" / "llama")
    plain, round_trip = Merged(base), Merged(base, None, "nf4")
    differ = {n for n in base.infos if not np.array_equal(plain.rows(n), round_trip.rows(n))}
    assert differ == {n for n in base.infos if n.endswith("_proj.weight")}
    error = round_trip.rows("model.layers.0.mlp.up_proj.weight") - plain.rows(
        "model.layers.0.mlp.up_proj.weight"
    )
    spread = plain.rows("model.layers.0.mlp.up_proj.weight").std()
    assert 0.07 < error.std() / spread < 0.11  # NF4's error on normal weights


# What does not fit


def copy_adapter(case: str, folder: Path, **changed: object) -> Path:
    source = GOLDEN / case / "adapter"
    config = json.loads((source / "adapter_config.json").read_text("utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps({**config, **changed}), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(
        (source / "adapter_model.safetensors").read_bytes()
    )
    return folder


def test_an_adapter_of_another_model_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"is \(.*\) in the base, \(.*\) in the adapter"):
        Merged(open_folder(GOLDEN / "bases" / "llama_tied"), open_adapter(GOLDEN / "plain/adapter"))


def test_an_adapter_for_a_missing_layer_is_refused(tmp_path: Path) -> None:
    copy_adapter("rslora", tmp_path, r=4, rank_pattern={})
    prefix = "base_model.model.model.layers.99.self_attn.q_proj"
    rank, width = 4, 32
    tensors = {
        f"{prefix}.lora_A.weight": np.ones((rank, width), np.float32),
        f"{prefix}.lora_B.weight": np.ones((width, rank), np.float32),
    }
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ConversionError, match=r"layers\.99.* the base does not have"):
        Merged(open_folder(GOLDEN / "bases" / "llama"), open_adapter(tmp_path))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["model.x.lora_A.weight"], "only one of lora_A and lora_B"),
        (["model.x.lora_magnitude_vector"], "only one of lora_A and lora_B"),
        (["model.x.lora_C.weight"], "which relay-gguf does not know"),
        (["something"], "which relay-gguf does not know"),
        (["model.x.token_adapter.trainable_tokens_delta"], "without trainable_token_indices"),
        (["model.x.lora_B.bias"], "which has no place in model.x"),
    ],
)
def test_a_tensor_that_is_not_used_stops_the_merge(
    tmp_path: Path, keys: list[str], message: str
) -> None:
    copy_adapter("plain", tmp_path)
    tensors = {f"base_model.model.{key}": np.ones((4, 4), np.float32) for key in keys}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ConversionError, match=message):
        open_adapter(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"peft_type": "LOHA"}, "a LOHA adapter; only LORA"),
        ({"layer_replication": [[0, 1]]}, "layer_replication is set"),
        ({"init_lora_weights": "pissa_niter_16"}, "belongs to a changed base"),
    ],
)
def test_settings_that_cannot_be_merged_are_refused(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        open_adapter(copy_adapter("plain", tmp_path, **changed))


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    copy_adapter("plain", tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(ConversionError, match="a pickle, which can run code"):
        open_adapter(tmp_path)


def test_missing_or_broken_files_are_refused(tmp_path: Path) -> None:
    good = (GOLDEN / "bases" / "llama" / "model.safetensors").read_bytes()
    broken = {
        "truncated": (good[:-1], "is truncated"),
        "header": (good[:100], "is not a safetensors file"),
        "empty": (b"", "is not a safetensors file"),
    }
    for name, (content, message) in broken.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(ConversionError, match=message):
            open_folder(folder)
    with pytest.raises(ConversionError, match=r"has no \.safetensors file"):
        open_folder(tmp_path)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConversionError, match="lacks model-00001-of-00002"):
        open_folder(tmp_path)
    one = tmp_path / "one.safetensors"
    one.write_bytes(good)
    with pytest.raises(ConversionError, match="is in one"):
        Checkpoint([one, one])
