"""Faults of a file's tensors and shards are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from findings_of_files import findings, wrong
from gguf import GGMLQuantizationType as Type
from tiny_gguf import TOKENS, good_keys, shard_keys, tensors, write

from relay_gguf.convert.inspect.overview import inspect_lines
from relay_gguf.convert.quantize.ggml import check_opens
from relay_gguf.display import size
from relay_gguf.errors import ConversionError, ModelError
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.gguf_file.header import TensorInfo


def moved(index: int) -> list[TensorInfo]:
    """Tensors with a hole between them."""
    infos = tensors()
    return [
        replace(info, offset=info.offset + 32) if number >= index else info
        for number, info in enumerate(infos)
    ]


@pytest.mark.parametrize(
    ("infos", "lacking", "text"),
    [
        (tensors(), 1, "tiny.gguf is truncated: it has {has} bytes of {needs}."),
        (tensors(), 30_000, "tiny.gguf is truncated: it has {has} bytes of {needs}."),
        (
            moved(3),
            0,
            "tiny.gguf: blk.0.attn_norm.weight does not begin where the tensor before it ends: "
            "llama.cpp refuses the file.",
        ),
    ],
)
def test_a_truncated_file_is_found(
    infos: list[TensorInfo], lacking: int, text: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "tiny.gguf", infos=infos, lacking=lacking)
    has = path.stat().st_size
    expected = text.format(has=f"{has:,}", needs=f"{has + lacking:,}")
    assert wrong(path) == [("problem", "file", expected)]
    with pytest.raises(ConversionError, match=r"cannot open tiny\.gguf"):
        check_opens([path])


def test_more_bytes_than_tensors_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", lacking=-64)
    assert wrong(path) == []
    check_opens([path])


def test_an_unknown_type_of_tensor_is_noted(tmp_path: Path) -> None:
    infos = tensors()
    infos[4] = replace(infos[4], ggml_type=999)
    path = write(tmp_path / "tiny.gguf", infos=infos)
    what = "blk.0.attn_q.weight is of type 999, which relay-gguf does not know."
    assert wrong(path) == [("note", "file", f"{what} Whether the file is whole was not checked.")]
    assert "1 type 999 (0 KB)" in "\n".join(inspect_lines(read_gguf(path), []))


@pytest.mark.parametrize(
    ("embedding", "output", "expected"),
    [
        (Type.Q4_0, None, []),
        (Type.Q8_0, Type.F16, []),
        (Type.IQ4_NL, Type.Q8_0, []),
        (Type.TQ1_0, Type.TQ2_0, ["The embedding is TQ1_0, 1.7", "The output is TQ2_0, 2.1 bits"]),
    ],
)
def test_few_bits_for_tokens_are_noted(
    embedding: Type, output: Type | None, expected: list[str], tmp_path: Path
) -> None:
    infos = tensors(output, embedding)
    all_found = wrong(write(tmp_path / "tiny.gguf", infos=infos))
    found = [
        finding for finding in all_found if finding[1] != "tensors"
    ]  # whose rows are too short
    assert [(level, check) for level, check, _ in found] == [("note", "types")] * len(expected)
    assert [text[: len(t)] for (*_, text), t in zip(found, expected, strict=True)] == expected


def test_a_vocabulary_without_tensors_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "vocab.gguf", infos=[])
    what = "There is a vocabulary and no tensor: this was made to test tokenizers."
    assert wrong(path) == [("problem", "kind", what)]


def test_a_file_of_24_gigabytes_takes_a_moment(tmp_path: Path) -> None:
    keys = good_keys() | {
        "tokenizer.ggml.tokens": [*TOKENS, *(f"t{n}" for n in range(131064))],
        "tokenizer.ggml.token_type": [3, 3, 3, *[1] * 131069],
        "tokenizer.ggml.merges": [f"t{n} u" for n in range(200_000)],
    }
    rows = 24_000_000_000 // (2 * 131072)
    infos = [TensorInfo("token_embd.weight", (131072, rows), int(Type.F16), 0)]
    path = write(tmp_path / "huge.gguf", keys, infos)  # a hole takes no room on the disk
    assert read_gguf(path).size > 24_000_000_000
    assert {check for _, check, _ in wrong(path)} == {"tensors"}  # the others are not there


# Shards


def write_parts(folder: Path, names: Mapping[int, str] | None = None) -> list[Path]:
    """A file in three parts."""
    infos, paths = tensors(), []
    for number in range(3):
        some = infos[4 * number : 4 * number + 4]
        some = [replace(info, offset=info.offset - some[0].offset) for info in some]
        split = shard_keys(number, 3, 12)
        name = (names or {}).get(number, f"tiny-{number + 1:05d}-of-00003.gguf")
        paths.append(write(folder / name, (good_keys() if number == 0 else {}) | split, some))
    return paths


def test_a_split_model_is_described_whole(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    assert wrong(paths[0]) == []
    assert findings(paths[0])[0].text == "The file is whole: 3 shards with 12 tensors."
    facts = read_gguf(paths[0])
    assert facts.size == sum(path.stat().st_size for path in paths)
    lines = "\n".join(inspect_lines(facts, []))
    assert f"size          {size(facts.size)}, 3 shards, Q8_0" in lines
    with pytest.raises(
        ModelError, match=r"is shard 2 of 3\. The first shard says .* name .*00001-of"
    ):
        read_gguf(paths[1])


def test_missing_shards_are_found(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    paths[2].unlink()
    text = "1 of 3 shards are missing: tiny-00003-of-00003.gguf."
    assert wrong(paths[0]) == [("problem", "file", text)]
    (tmp_path / "other").mkdir()
    renamed = write_parts(tmp_path / "other", {0: "tiny.gguf"})
    text = "It is shard 1 of 3 and not named so: llama.cpp does not find the others."
    assert wrong(renamed[0]) == [("problem", "file", text)]


def test_a_truncated_or_foreign_shard_is_found(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    size = paths[1].stat().st_size
    with paths[1].open("r+b") as file:
        file.truncate(size - 5)
    text = f"tiny-00002-of-00003.gguf is truncated: it has {size - 5:,} bytes of {size:,}."
    assert wrong(paths[0]) == [("problem", "file", text)]
    write(paths[1], shard_keys(1, 3, 12), tensors()[:1])
    text = "The shards have 9 tensors and should have 12."
    assert wrong(paths[0]) == [("problem", "file", text)]
