"""What an adapter is merged into: by the user's word, or by what its folder tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conversions import Pair, converted, request
from hf_models import TINY, write_adapter, write_mistral

from relay_gguf.convert.job import prepare
from relay_gguf.convert.read.source import open_adapter_source
from relay_gguf.gguf_file.gguf_model import read_gguf

AXOLOTL = """\
---
base_model: mistralai/Mistral-Nemo-Base-2407
---
<details><summary>See axolotl config</summary>

```yaml
load_in_8bit: false
load_in_4bit: true
adapter: qlora
```
"""
PEFT = """\
The following `bitsandbytes` quantization config was used during training:
- load_in_8bit: False
- load_in_4bit: {four}
- bnb_4bit_quant_type: {kind}
- bnb_4bit_use_double_quant: {double}
"""
TOLD = "tells of training in 4 bits"
CASES: dict[str, tuple[Mapping[str, str], str, str]] = {
    "nothing": ({}, "original", f"nothing in the adapter's folder {TOLD}"),
    "a card in prose": (
        {"README.md": "We did not set load_in_4bit, and so: load_in_4bit: false"},
        "original",
        "nothing",
    ),
    "axolotl's card": (
        {"README.md": AXOLOTL},
        "nf4-double",
        f"README.md {TOLD} (load_in_4bit); double quantization is usual",
    ),
    "axolotl's file": (
        {"relay.yml": "adapter: qlora\nload_in_4bit: # true\n"},
        "nf4-double",
        f"relay.yml {TOLD} (adapter: qlora)",
    ),
    "commented out": ({"a.yaml": "# load_in_4bit: true\n#adapter: qlora"}, "original", "nothing"),
    "PEFT's card": (
        {"README.md": PEFT.format(four=True, kind="nf4", double=True)},
        "nf4-double",
        "bnb_4bit_use_double_quant is true",
    ),
    "without double quantization": (
        {"README.md": PEFT.format(four=True, kind="nf4", double=False)},
        "nf4",
        "bnb_4bit_use_double_quant is false",
    ),
    "in 8 bits": (
        {"README.md": PEFT.format(four=False, kind="nf4", double=False)},
        "original",
        "nothing",
    ),
    "another type": (
        {"README.md": PEFT.format(four=True, kind="fp4", double=False)},
        "original",
        f"README.md {TOLD} (load_in_4bit), of the type fp4, whose round trip is not known here",
    ),
    "a config of transformers": (
        {"config.json": json.dumps({"quantization_config": {"load_in_4bit": True}})},
        "nf4-double",
        f"config.json {TOLD} (load_in_4bit)",
    ),
    "the sign here, the rest there": (
        {"a.yml": "load_in_4bit: true", "b.yml": "bnb_4bit_use_double_quant: false"},
        "nf4",
        f"a.yml {TOLD} (load_in_4bit); bnb_4bit_use_double_quant is false",
    ),
}


@pytest.fixture(scope="module")
def pair(chatml: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A base and its adapter, whose folder tells nothing."""
    root = tmp_path_factory.mktemp("told")
    base = write_mistral(root / "base", chatml, TINY)
    return Pair(base, write_adapter(root / "lora", base))


def telling(pair: Pair, folder: Path, files: Mapping[str, str], **settings: Any) -> Path:
    """The adapter with more files, and more settings."""
    folder.mkdir()
    for path in pair.adapter.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps(config | settings, indent=2), "utf-8")
    return folder


@pytest.mark.parametrize(("files", "base", "reason"), CASES.values(), ids=CASES.keys())
def test_auto_decides_by_the_adapters_folder(
    files: Mapping[str, str], base: str, reason: str, pair: Pair, tmp_path: Path
) -> None:
    adapter = telling(pair, tmp_path / "lora", files)
    job = prepare(request(pair.base, "Q8_0", adapter=adapter))
    assert job.model.origin["merge_base"] == base
    assert reason in job.model.origin["merge_reason"]
    assert len(job.model.notes) == (base == "original")


@pytest.mark.parametrize(
    ("settings", "sign"),
    [
        ({"quantization_config": {"load_in_4bit": True}}, "load_in_4bit"),
        ({"base_model_name_or_path": "unsloth/mistral-7b-bnb-4bit"}, "a base in bnb-4bit"),
        ({"base_model_name_or_path": "someone/mistral-7b"}, None),
    ],
)
def test_signs_in_the_adapters_config_are_found(
    settings: Mapping[str, Any], sign: str | None, pair: Pair, tmp_path: Path
) -> None:
    adapter = telling(pair, tmp_path / "lora", {}, **settings)
    found = open_adapter_source(str(adapter)).four_bits
    assert (found and (found.file, found.sign)) == (sign and ("adapter_config.json", sign))


def test_the_users_choice_precedes_the_signs(pair: Pair, tmp_path: Path) -> None:
    adapter = telling(pair, tmp_path / "lora", {"README.md": AXOLOTL})
    for asked in ("original", "nf4", "nf4-double"):
        job = prepare(request(pair.base, "Q8_0", adapter=adapter, merge_base=asked))
        assert job.model.origin["merge_base"] == asked
        assert job.model.origin["merge_reason"] == "asked for"
        assert any("--merge-base auto" in note for note in job.model.notes) == (asked == "original")


def test_file_and_report_name_the_choice(pair: Pair, tmp_path: Path) -> None:
    adapter = telling(pair, tmp_path / "lora", {"README.md": AXOLOTL})
    ((path,),) = converted(request(pair.base, "Q8_0", adapter=adapter), tmp_path / "out").values()
    report = json.loads((tmp_path / "out" / "lora-Q8_0.report.json").read_text("utf-8"))
    for origin in (read_gguf(path).origin, report["origin"]):
        assert origin["merge_base"] == "nf4-double"
        assert origin["merge_reason"].startswith("README.md tells of training in 4 bits")
