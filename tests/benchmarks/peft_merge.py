"""The peer's first step: merge an adapter with PEFT into a folder that llama.cpp converts.

    python peft_merge.py BASE ADAPTER OUT

Needs torch, transformers and peft. The merge is in the base's own type, on the CPU, as PEFT's
documentation has it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from peft import PeftModel  # type: ignore[import-not-found]
from safetensors import safe_open
from transformers import (  # type: ignore[import-not-found]
    AutoModelForCausalLM,
    AutoTokenizer,
)


def vocabulary_rows(adapter: Path) -> int:
    """Rows of the embedding that an adapter brings; 0 if it has none."""
    with safe_open(adapter / "adapter_model.safetensors", "np") as file:
        names = [name for name in file.keys() if "embed_tokens" in name]  # noqa: SIM118
        return int(file.get_slice(names[0]).get_shape()[0]) if names else 0


def main(base: Path, adapter: Path, out: Path) -> None:
    """Merge and save."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    rows = vocabulary_rows(adapter)
    if rows > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.save_pretrained(out)
    AutoTokenizer.from_pretrained(adapter if rows else base).save_pretrained(out)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
