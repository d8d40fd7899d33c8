"""Names of GGUF files: the type and the shard that they tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_gguf.gguf_file.name import FileName, parse_name, shard_paths


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "relay-v0.1-Mistral-Nemo-12B-2407-Q4_K_M.gguf",
            FileName("relay-v0.1-Mistral-Nemo-12B-2407", "Q4_K_M"),
        ),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", FileName("SmolLM2-135M-Instruct", "Q4_1")),
        ("relay-F16-00002-of-00003.gguf", FileName("relay", "F16", 2, 3)),
        ("relay-IQ4_XS.gguf", FileName("relay", "IQ4_XS")),
        ("relay-UD-Q4_K_XL.gguf", FileName("relay", "UD-Q4_K_XL")),
        ("relay-Q4_K_M-4.87bpw.gguf", FileName("relay", "Q4_K_M-4.87bpw")),
        ("relay-4.87bpw.gguf", FileName("relay-4.87bpw")),
        ("relay-bf16.gguf", FileName("relay", "bf16")),
        ("Qwen3-8B.gguf", FileName("Qwen3-8B")),
        ("relay-q8.gguf", FileName("relay", "q8")),
        ("relay.txt", FileName("relay.txt")),
    ],
)
def test_a_file_name_is_taken_apart(name: str, wanted: FileName) -> None:
    assert parse_name(name) == wanted


def test_all_shards_of_a_split_file_are_found_by_any_of_them() -> None:
    names = [f"r-F16-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert [path.name for path in shard_paths(Path("x") / names[1])] == names
    assert shard_paths(Path("r.gguf")) == [Path("r.gguf")]
