"""Whole conversions, against llama.cpp's converter (golden/convert/hf) and its quantizer (live)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, TokenType
from hf_cases import CASES, GOLDEN
from thorough import cases

from relay_gguf.convert.job import prepare
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import ConvertedFiles, run
from relay_gguf.gguf_file.header import Header, read_header

OUTTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
OURS = {"general.quantized_by", "relay.source"}
"""Keys that the script does not write."""
MEANT_TO_DIFFER = {
    # tokenizer_config.json names <|im_end|>; the script finds names in a tokenizer.json only.
    "spm": {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.unknown_token_id"},
    # The script gives all pieces one score, and so loses the order of the merges; and to it
    # <|im_start|> is a text that anyone may type.
    "spm_json": {"tokenizer.ggml.scores", "tokenizer.ggml.token_type"},
}
PATCHED = ("bos", "bos_49152", "bos_denied", "bos_unnamed")
"""Cases whose pre-tokenizer the script does not know either."""


def converted(base: Path, out: Path, *ftypes: str, **options: Any) -> list[Path]:
    job = prepare(Request(base=str(base), ftypes=ftypes, template="keep", **options))
    events = run(job, out, n_threads=2)
    return [path for event in events if isinstance(event, ConvertedFiles) for path in event.paths]


def as_golden(value: object) -> object:
    """A key's value as the golden files have it: by its digest, if it is long."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= 400:
        return value
    length = len(value) if isinstance(value, list | str) else 0
    return {"length": length, "sha256": sha256(text.encode()).hexdigest()}


def keys_of(head: Header) -> Iterator[tuple[str, list[Any]]]:
    for name, value in head.metadata.items():
        kinds = [value.kind.name] + ([value.item.name] if value.item is not None else [])
        yield name, [kinds, as_golden(value.value)]


def tensors_of(path: Path, head: Header) -> Iterator[tuple[str, list[Any]]]:
    data = path.read_bytes()
    for info in head.tensors:
        kind = GGMLQuantizationType(info.ggml_type)
        block, size = GGML_QUANT_SIZES[kind]
        start, stop = info.offset, info.offset + prod(info.shape) // block * size
        digest = sha256(data[head.size + start : head.size + stop]).hexdigest()
        yield info.name, [list(info.shape[::-1]), [kind.name, digest]]


@pytest.mark.parametrize("case", cases(CASES, "mistral", "spm"))
def test_files_are_those_of_llama_cpps_converter(case: str, smollm2: Path, tmp_path: Path) -> None:
    folder = CASES[case](tmp_path / "model", smollm2)
    golden = json.loads((GOLDEN / f"{case}.json").read_text("utf-8"))
    pre = "smollm" if case in PATCHED else None
    verify = "spm" in case  # the proof of the others would only repeat the same vocabulary's
    # The real model is large: in the types that need most of the code.
    outtypes = ("bf16", "q8_0") if case == "smollm2" else tuple(OUTTYPES)
    ftypes = [OUTTYPES[outtype] for outtype in outtypes]
    files = converted(folder, tmp_path / "out", *ftypes, pre=pre, verify=verify)
    for path, outtype, ftype in zip(files, outtypes, ftypes, strict=True):
        head = read_header(path)
        keys = dict(keys_of(head))
        expected = golden["keys"] | {
            "general.file_type": [["UINT32"], golden["file_types"][outtype]]
        }
        differ = {n for n in keys.keys() | expected.keys() if keys.get(n) != expected.get(n)}
        assert differ == OURS | MEANT_TO_DIFFER.get(case, set())
        assert dict(tensors_of(path, head)) == {
            name: [stored["shape"], stored[outtype]] for name, stored in golden["tensors"].items()
        }, ftype


@pytest.mark.parametrize("case", ["spm", "spm_json"])
def test_a_sentencepiece_vocabulary_differs_only_where_it_is_meant_to(
    case: str, smollm2: Path, tmp_path: Path
) -> None:
    folder = CASES[case](tmp_path / "model", smollm2)
    (path,) = converted(folder, tmp_path / "out", "F32")
    keys = {name: key.value for name, key in read_header(path).metadata.items()}
    tokens, types = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    assert tokens[keys["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert [types[tokens.index(text)] for text in ("<|im_start|>", "<|im_end|>")] == [3, 3]
    assert types[tokens.index("<0x0A>")] == TokenType.BYTE
    if case == "spm_json":
        tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        made = dict.fromkeys("".join(merge) for merge in tokenizer["model"]["merges"])
        scores = [keys["tokenizer.ggml.scores"][tokens.index(piece)] for piece in made]
        assert scores == sorted(set(scores), reverse=True)
