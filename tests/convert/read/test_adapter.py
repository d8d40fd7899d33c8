"""Adapters that need a word: what is told of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hf_models import write_adapter
from planned_files import edit, planned
from safetensors.numpy import load_file, save_file

from relay_gguf.convert.read.arrays import Array


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "adapter", folder)


def zero(adapter: Path, part: str) -> None:
    path = adapter / "adapter_model.safetensors"
    values = load_file(path)
    save_file({k: v * (0 if part in k else 1) for k, v in values.items()}, path)


@pytest.mark.parametrize("part", ["lora_A", "lora_B", "alpha"])
def test_an_adapter_that_changes_nothing_is_told(part: str, folder: Path, adapter: Path) -> None:
    assert not any("changes nothing" in note for note in planned(folder, adapter).model.notes)
    if part == "alpha":
        edit(adapter / "adapter_config.json", lora_alpha=0)
    else:
        zero(adapter, part)
    assert any("changes nothing" in note for note in planned(folder, adapter).model.notes)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("mistralai/Mistral-7B-Instruct-v0.3", True),
        ("acme/Tiny-Mistral-v1", False),
        ("unsloth/tiny-mistral-v1-bnb-4bit", False),
        ("/workspace/base", False),
        ("/cache/models--acme--Other-v1/snapshots/0123", True),
        ("/cache/models--acme--Tiny-Mistral-v1/snapshots/0123", False),
        (None, False),
        (5, False),
    ],
)
def test_another_base_than_the_adapter_names_is_told(
    named: object, told: bool, folder: Path, adapter: Path
) -> None:
    edit(adapter / "adapter_config.json", base_model_name_or_path=named)
    notes = planned(folder, adapter).model.notes
    assert any("The adapter was trained on" in note for note in notes) == told, notes


def test_what_was_trained_and_not_saved_is_told(folder: Path, adapter: Path) -> None:
    saved = {"modules_to_save": ["lm_head", "q_proj", 5], "trainable_token_indices": [1]}
    edit(adapter / "adapter_config.json", **saved)
    (note,) = [n for n in planned(folder, adapter).model.notes if "training changed" in n]
    assert "changed lm_head, single tokens (trainable_token_indices), and" in note


def test_new_embeddings_that_are_not_read_are_told(folder: Path, adapter: Path) -> None:
    save_file(
        {"input_embeddings": np.ones((1, 64), np.float32)}, adapter / "new_embeddings.safetensors"
    )
    assert any("new_embeddings" in note for note in planned(folder, adapter).model.notes)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("base_model.", "_orig_mod.base_model."),
        ("layers.0.", "layers.0._checkpoint_wrapped_module."),
        ("self_attn.", "_fsdp_wrapped_module.self_attn."),
        (".weight", ".sft.weight"),
    ],
)
def test_names_of_wrappers_and_adapters_in_keys_do_not_count(
    old: str, new: str, folder: Path, adapter: Path
) -> None:
    def rows() -> Array:
        model = planned(folder, adapter).model.weights
        tensor = next(t for t in model.tensors if t.name == "blk.0.attn_q.weight")
        assert tensor.changed
        return model.open(tensor)(0, 96).rows

    plain = rows()
    path = adapter / "adapter_model.safetensors"
    save_file({key.replace(old, new): value for key, value in load_file(path).items()}, path)
    assert np.array_equal(rows(), plain)
