"""Whole conversions, against llama.cpp's converter (golden/convert/hf) and its quantizer (live)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from hf_cases import CASES, GOLDEN
from relay_gguf.convert.job import Request, prepare
from relay_gguf.convert.run import Finished, run

from relay_gguf.gguf_file import Head, read_head

OUTTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
OURS = {"general.quantized_by", "relay.source"}
"""Keys that the script does not write."""
PATCHED = ("bos", "bos_49152", "bos_denied", "bos_unnamed")
"""Cases whose pre-tokenizer the script does not know either."""


def converted(base: Path, out: Path, *ftypes: str, **options: Any) -> list[Path]:
    job = prepare(Request(str(base), ftypes, **options))
    events = run(job, out, n_threads=2)
    return [path for event in events if isinstance(event, Finished) for path in event.paths]


def as_golden(value: object) -> object:
    """A key's value as the golden files have it: by its digest, if it is long."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= 400:
        return value
    length = len(value) if isinstance(value, list | str) else 0
    return {"length": length, "sha256": sha256(text.encode()).hexdigest()}


def keys_of(head: Head) -> Iterator[tuple[str, list[Any]]]:
    for name, value in head.keys.items():
        kinds = [value.kind.name] + ([value.item.name] if value.item is not None else [])
        yield name, [kinds, as_golden(value.value)]


def tensors_of(path: Path, head: Head) -> Iterator[tuple[str, list[Any]]]:
    data = path.read_bytes()
    for info in head.tensors:
        kind = GGMLQuantizationType(info.ggml_type)
        block, size = GGML_QUANT_SIZES[kind]
        start, stop = info.offset, info.offset + prod(info.shape) // block * size
        digest = sha256(data[head.size + start : head.size + stop]).hexdigest()
        yield info.name, [list(info.shape[::-1]), [kind.name, digest]]


@pytest.fixture(scope="session")
def cases(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("cases")
    return {name: make(root / name, smollm2) for name, make in CASES.items() if "spm" not in name}


@pytest.mark.parametrize("case", [name for name in CASES if "spm" not in name])
def test_files_are_those_of_llama_cpps_converter(
    case: str, cases: Mapping[str, Path], tmp_path: Path
) -> None:
    golden = json.loads((GOLDEN / f"{case}.json").read_text("utf-8"))
    pre = "smollm" if case in PATCHED else None
    files = converted(cases[case], tmp_path, *OUTTYPES.values(), pre=pre)
    for path, (outtype, ftype) in zip(files, OUTTYPES.items(), strict=True):
        head = read_head(path)
        keys = dict(keys_of(head))
        expected = golden["keys"] | {
            "general.file_type": [["UINT32"], golden["file_types"][outtype]]
        }
        assert {name: keys[name] for name in keys if name not in OURS} == expected
        assert dict(tensors_of(path, head)) == {
            name: [stored["shape"], stored[outtype]] for name, stored in golden["tensors"].items()
        }, ftype
