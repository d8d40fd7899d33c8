"""What people write into the files beside the weights, and adapters that need a word."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import request
from gguf import GGUFWriter
from hf_models import TINY, write_adapter, write_mistral
from hf_tokenizers import dump_json, load_json
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Metaspace

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.convert.job import ConversionJob, prepare
from relay_gguf.convert.metadata import of_folder
from relay_gguf.convert.read.arrays import Array
from relay_gguf.convert.read.checkpoint import open_folder
from relay_gguf.convert.read.source import repository_of
from relay_gguf.convert.vocab.hf_tokenizer import read_vocabulary
from relay_gguf.convert.write.layout import metadata_of
from relay_gguf.errors import ConversionError

# Cards and sampling


def general(folder: Path) -> dict[str, Any]:
    """The metadata of a file that a folder without weights tells."""
    writer = GGUFWriter(None, "llama")
    of_folder("a-model", folder, 0).set_gguf_meta_model(writer)
    keys = metadata_of(writer).items()
    return {key.removeprefix("general."): value.value for key, value in keys}


@pytest.mark.parametrize(
    ("card", "key", "value"),
    [
        ("tags:\n- mistral\n- 2407", "tags", ["mistral", "2407"]),
        ("tags:\n- chat\n-\n- ~", "tags", ["chat"]),
        ("tags:\n-", "tags", None),
        ("tags: {a: b}", "tags", None),
        ("license: 2.0", "license", "2.0"),
        ("license: [mit, 2.0]", "license", "mit,2.0"),
        ("license: {name: mit}", "license", None),
        ("language: no", "languages", ["no"]),
        ("language:\n- no\n- en", "languages", ["no", "en"]),
        ("language: [on, y]", "languages", ["on", "y"]),
        ("model_name: 2024-07-18", "name", "2024-07-18"),
        ("version: 1.10", "version", "1.10"),
        ("version: [1]", "version", None),
        ("author: 0x10", "author", "0x10"),
        ("base_model: 7", "base_model.0.name", "7"),
        ("base_model: [[a]]", "base_model.0.name", None),
        ("base_model: [{name: [a], organization: 5}]", "base_model.0.organization", "5"),
        ("- a\n- b", "license", None),
        ("license: mit\n  a: b", "license", None),
        ("a: " + "[" * 5000, "license", None),
    ],
)
def test_a_card_holds_texts(card: str, key: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n# x\n", "utf-8")
    assert general(tmp_path).get(key) == value


def test_a_card_that_is_not_utf_8_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"---\nlicense: \xe9\n---\n")
    assert "license" not in general(tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"top_k": 50.0}, {"top_k": 50}),
        ({"top_k": 50}, {"top_k": 50}),
        ({"top_k": 50.5}, {}),
        ({"top_k": 1 << 40}, {}),
        ({"top_k": None, "top_p": True}, {}),
        ({"temperature": "0.5"}, {"temp": 0.5}),
        ({"temperature": "warm"}, {}),
        ({"temperature": [0.7]}, {}),
        ({"temperature": float("nan"), "min_p": float("inf")}, {}),
        ({"top_p": 1e300}, {}),
        ([], {}),
        ("0.7", {}),
    ],
)
def test_sampling_is_numbers(given: object, expected: Mapping[str, float], tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(given), "utf-8")
    start = "sampling."
    found = {k.removeprefix(start): v for k, v in general(tmp_path).items() if k.startswith(start)}
    assert found == expected


@pytest.mark.parametrize("content", [b"\xe9", b"[" * 100_000, b"{"])
def test_a_damaged_generation_config_says_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_bytes(content)
    assert not any(key.startswith("sampling.") for key in general(tmp_path))


# The vocabulary


@pytest.fixture(scope="module")
def base(chatml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    return write_mistral(root / "Tiny-Mistral-v1", chatml, TINY, dtype="F32")


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / base.name))


def edit(path: Path, **changes: Any) -> None:
    dump_json(path, load_json(path) | changes)


def planned(base: Path, adapter: Path | None = None) -> ConversionJob:
    return prepare(request(base, "Q8_0", adapter=adapter))


def test_a_negative_id_is_none(folder: Path) -> None:
    edit(folder / "config.json", pad_token_id=-1)
    settings = load_json(folder / "tokenizer_config.json")
    dump_json(
        folder / "tokenizer_config.json", {k: v for k, v in settings.items() if k != "pad_token"}
    )
    assert "tokenizer.ggml.padding_token_id" not in planned(folder).model.metadata


def test_truncation_and_padding_of_the_last_call_do_not_count(folder: Path) -> None:
    before = planned(folder).model.probes
    truncation = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    padding = {
        "strategy": {"Fixed": 64},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    edit(folder / "tokenizer.json", truncation=truncation, padding=padding)
    assert planned(folder).model.probes == before
    assert max(map(len, before.values())) > 64


def test_tokens_found_in_a_way_of_their_own_are_alike_or_refused(folder: Path) -> None:
    """GGUF knows no lstrip, rstrip and single_word, and llama.cpp normalizes nothing."""
    tokenizer = load_json(folder / "tokenizer.json")
    apart = "The tokenizer drops the spaces beside <repo_name>"
    cases: list[tuple[str, dict[str, Any], str | None]] = [
        (IM_END, {"rstrip": True}, "tokenizer.json <|im_end|> is rstrip; GGUF cannot say so"),
        (IM_START, {"lstrip": True}, "tokenizer.json <|im_start|> is lstrip; GGUF"),
        ("<repo_name>", {"lstrip": True, "special": False}, "<repo_name> is lstrip; GGUF"),
        ("<repo_name>", {"single_word": True, "special": False}, "<repo_name> is single_word;"),
        ("<repo_name>", {"normalized": True, "special": False}, None),
        ("<repo_name>", {"rstrip": True}, None),
    ]
    for text, flags, refused in cases:
        added = [
            token | (flags if token["content"] == text else {})
            for token in tokenizer["added_tokens"]
        ]
        assert added != tokenizer["added_tokens"]
        dump_json(folder / "tokenizer.json", tokenizer | {"added_tokens": added})
        if refused is not None:
            with pytest.raises(ConversionError, match=re.escape(refused)):
                planned(folder)
            continue
        notes = planned(folder).model.notes
        assert any(apart in note for note in notes) is ("rstrip" in flags)


def test_a_pad_token_without_a_row_is_left_out_and_told(folder: Path) -> None:
    plain = planned(folder).model
    tokenizer = load_json(folder / "tokenizer.json")
    more = {**tokenizer["added_tokens"][-1], "id": 320, "content": "[PAD]"}
    edit(folder / "tokenizer.json", added_tokens=[*tokenizer["added_tokens"], more])
    edit(folder / "tokenizer_config.json", pad_token="[PAD]")
    model = planned(folder).model
    assert "The embedding has no row for [PAD]: left out of the vocabulary." in model.notes
    tokens = "tokenizer.ggml.tokens"
    assert model.metadata[tokens] == plain.metadata[tokens]


def test_tokens_that_only_tokenizer_json_has_are_beside_a_tokenizer_model(tmp_path: Path) -> None:
    source = Path(__file__).parent.parent / "golden" / "convert" / "hf" / "spm"
    folder = Path(shutil.copytree(source, tmp_path / "spm"))
    for name in ("added_tokens.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)

    def texts(added: list[dict[str, Any]]) -> list[str]:
        content = {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}, "added_tokens": added}
        dump_json(folder / "tokenizer.json", {"version": "1.0", **content})
        rows = read_vocabulary(folder, 600, base=folder, config={}).tokens.texts
        return list(rows)

    token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    pieces = texts([])
    size = next(i for i, text in enumerate(pieces) if text == f"[PAD{i}]")
    added = [
        {"id": size, "content": "<|im_start|>", "special": True, **token},
        {"id": 3, "content": "not mine", "special": True, **token},
    ]
    assert texts(added) == [*pieces[:size], "<|im_start|>", *pieces[size + 1 :]]


def spm(folder: Path, scheme: str) -> Path:
    """A small SentencePiece tokenizer with ChatML, as transformers 5 saves it."""
    marks = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = "\u2581abcdefghijklmnopqrstuvwxyz"
    pairs = [("\u2581", "s"), ("s", "t"), ("e", "m"), ("h", "e"), ("\u2581", "u")]
    pieces = [*marks, *letters, *(a + b for a, b in pairs)]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(
        BPE(vocab=vocab, merges=pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.pre_tokenizer = Metaspace(replacement="\u2581", prepend_scheme=scheme, split=False)
    tokenizer.add_special_tokens([*marks[:3], IM_START, IM_END])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"legacy": False, "eos_token": IM_END, "unk_token": "<unk>", "bos_token": "<s>"}
    dump_json(folder / "tokenizer_config.json", settings)
    return folder


@pytest.mark.parametrize("stated", [None, True])
def test_no_space_behind_control_tokens_is_kept_in_chats(
    stated: bool | None, tmp_path: Path
) -> None:
    """`prepare` compares llama.cpp's tokens with the tokenizer's."""
    tokenizer = spm(tmp_path / "spm", "first")
    ids = {"bos_token_id": 1, "eos_token_id": 2}
    base = write_mistral(tmp_path / "base", tokenizer, TINY, dtype="F32", config=ids)
    edit(base / "tokenizer_config.json", add_prefix_space=stated)
    model = prepare(request(base, "Q8_0", pre=None)).model
    assert model.metadata["tokenizer.ggml.add_space_prefix"].value is False
    assert len(model.probes) == 2
    assert all(text.startswith(IM_START) for text in model.probes)
    assert any("none behind control tokens" in note for note in model.notes)


# Which weights


def test_the_single_file_goes_before_a_leftover_index(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    dump_json(folder / "model.safetensors.index.json", index)
    save_file({"a": np.ones(4, np.float32)}, folder / "model-00001-of-00002.safetensors")
    assert "a" not in open_folder(folder).infos


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("hub/models--acme--Tiny-v1/snapshots/0123abcd", "acme/Tiny-v1"),
        ("/a/models--acme--Tiny--x/snapshots/0123abcd", "acme/Tiny--x"),
        ("models--gpt2/snapshots/0123abcd", "gpt2"),
        ("models--acme--Tiny-v1/0123abcd", None),
        ("acme/snapshots/0123abcd", None),
    ],
)
def test_a_snapshot_of_the_hubs_cache_has_its_repositorys_name(
    path: str, label: str | None
) -> None:
    assert repository_of(Path(path)) == label


def test_files_are_named_by_the_repository_of_a_snapshot(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--acme--Tiny-v1" / "snapshots" / ("0123456789abcdef" * 3)[:40]
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    job = planned(snapshot)
    assert job.targets[0].files[0].name == "Tiny-v1-Q8_0.gguf"
    assert job.model.origin["source"] == "acme/Tiny-v1"


# Adapters


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
