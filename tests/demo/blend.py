"""Add up two LoRA adapters of one base: what their sum changes is the sum of what they change.

    python tests/demo/blend.py FIRST 0.5 SECOND 0.7 OUT

The matrices stand beside each other, so that the ranks add up, as in PEFT's `add_weighted_adapter`
with `combination_type="cat"`; the weights go into B. Both need the same factor alpha / rank. The
demo's adapter is made so. Needs torch and safetensors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

FILE = "adapter_model.safetensors"


def main() -> None:
    """Write the sum."""
    first, weight, second, other_weight, out = sys.argv[1:]
    folders, weights = [Path(first), Path(second)], [float(weight), float(other_weight)]
    configs = [json.loads((folder / "adapter_config.json").read_text()) for folder in folders]
    scales = {config["lora_alpha"] / config["r"] for config in configs}
    if len(scales) > 1:
        sys.exit(f"The adapters have different factors alpha / rank: {scales}.")
    tensors = [load_file(folder / FILE) for folder in folders]
    Path(out).mkdir(exist_ok=True)
    save_file(blended(tensors, weights), Path(out) / FILE, metadata={"format": "pt"})
    config = configs[0] | {name: sum(c[name] for c in configs) for name in ("r", "lora_alpha")}
    (Path(out) / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def blended(adapters: list[dict[str, Any]], weights: list[float]) -> dict[str, Any]:
    """The tensors of the sum, in float16: A's rows below each other, B's columns side by side."""
    found = {}
    for name in adapters[0]:
        parts = [adapter[name].float() for adapter in adapters]
        if "lora_B" in name:
            parts = [part * weight for part, weight in zip(parts, weights, strict=True)]
        found[name] = torch.cat(parts, dim=1 if "lora_B" in name else 0).half()
    return found


if __name__ == "__main__":
    main()
