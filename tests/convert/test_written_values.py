"""What people write into the files beside the weights: cards and sampling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFWriter

from relay_gguf.convert.metadata import of_folder
from relay_gguf.convert.write.layout import metadata_of


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
