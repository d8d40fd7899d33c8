"""Tokens as people's tokenizers have them: kept, told, or refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conversions import request
from gguf import GGUFWriter
from hf_models import TINY, write_mistral
from hf_tokenizers import dump_json, load_json
from planned_files import edit, planned
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Metaspace

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.convert.job import prepare
from relay_gguf.convert.vocab.hf_tokenizer import add_tokenizer_metadata, read_vocabulary
from relay_gguf.errors import ConversionError


def test_a_negative_id_is_none(folder: Path) -> None:
    edit(folder / "config.json", pad_token_id=-1)
    settings = load_json(folder / "tokenizer_config.json")
    dump_json(
        folder / "tokenizer_config.json", {k: v for k, v in settings.items() if k != "pad_token"}
    )
    assert "tokenizer.ggml.padding_token_id" not in planned(folder).model.metadata


def test_chat_templates_are_texts_with_names_of_their_own(folder: Path) -> None:
    named = [{"name": name, "template": name} for name in ("default", *"hgfedcba", "a b", "a-b")]
    wanted = ["a", "a_b", *"bcdefgh"]
    for given, text, names in (
        (named, "default", wanted),
        ("x", "x", None),
        ([{"name": 5, "template": "x"}, "x", {"name": "default"}], None, None),
        (5, None, None),
    ):
        edit(folder / "tokenizer_config.json", chat_template=given)
        writer = GGUFWriter(None, "llama")
        vocabulary = read_vocabulary(folder, 320, base=folder, config={}, pre="smollm")
        add_tokenizer_metadata(writer, vocabulary)
        (found,) = writer.kv_data
        key = "tokenizer.chat_template"
        assert (found[key].value if key in found else None) == text
        assert (found[f"{key}s"].value if f"{key}s" in found else None) == names


def test_a_tokenizer_that_ends_the_library_is_refused(folder: Path) -> None:
    """A panic of Rust is not even an Exception."""
    model = load_json(folder / "tokenizer.json")["model"] | {"continuing_subword_prefix": "##"}
    edit(folder / "tokenizer.json", model=model)
    with pytest.raises(ConversionError, match=r"tokenizer.json is not a tokenizer: "):
        planned(folder)


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
    source = Path(__file__).parents[2] / "golden" / "convert" / "hf" / "spm"
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
