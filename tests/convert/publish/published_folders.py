"""Folders as a conversion leaves them, and what their pages say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from relay_gguf.convert.publish.modelcard import PublishedType
from relay_gguf.gguf_file.gguf_model import read_gguf

Folder = Callable[..., Path]
"""Makes a folder as a conversion leaves it."""


def report_of(paths: list[Path], **changes: Any) -> dict[str, Any]:
    """What a conversion notes of its files."""
    files = [
        {"name": p.name, "bytes": p.stat().st_size, "sha256": sha256(p.read_bytes()).hexdigest()}
        for p in paths
    ]
    return {
        "type": "Q8_0",
        "files": files,
        "made_by": "relay-gguf 0.1.0",
        "encoders": "llama-cpp-python 0.3.36",
        "origin": {},
        "imatrix": None,
        "notes": [],
        "verified": {"read_back": "yes", "opened_by_llama_cpp": True, "texts_tokenized_alike": 5},
        "error": 0.0051839,
        "merge": {"attn_q": {"tensors": 1, "moved": 0.0107}, "ffn_up": {"moved": 0.0168}},
        **changes,
    }


def save_report(path: Path, **changes: Any) -> None:
    report = json.dumps(report_of([path], **changes))
    path.with_name(path.stem + ".report.json").write_text(report, "utf-8")


def readme(out: Path) -> str:
    return (out / "README.md").read_text("utf-8")


COMMANDS = {
    "": [
        "relay-gguf chat tiny-Q4_K_M.gguf",
        "relay-gguf lmstudio install tiny-Q4_K_M.gguf --preset",
        "llama-server -m tiny-Q4_K_M.gguf -c 4096",
        "relay-gguf ollama modelfile tiny-Q4_K_M.gguf --create",
    ],
    "o/r": [
        "relay-gguf chat o/r:Q4_K_M",
        "relay-gguf lmstudio install o/r:Q4_K_M --preset",
        "llama-server -hf o/r:Q4_K_M -c 4096",
        "relay-gguf ollama modelfile o/r:Q4_K_M --create",
    ],
}


def commands(text: str) -> list[str]:
    """The code blocks of a page."""
    return [part.partition("\n```")[0] for part in text.split("```bash\n")[1:]]


def entry(out: Path, *names: str, **changes: Any) -> PublishedType:
    facts = read_gguf(out / names[0])
    return replace(PublishedType(facts.ftype, names, facts, 0.01, {}, 5), **changes)
