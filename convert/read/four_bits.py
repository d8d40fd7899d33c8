"""Signs, in the files beside an adapter, that it was trained in 4 bits (QLoRA)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_LINE: Final = r"(?im)^[^#\n]*?"  # nothing that is commented out
_IS: Final = r"[\"']?\s*[:=]\s*[\"']?"
SIGNS: Final = {
    "load_in_4bit": re.compile(rf"{_LINE}\bload_in_4bit{_IS}true\b"),
    "adapter: qlora": re.compile(rf"{_LINE}\badapter{_IS}qlora\b"),
    "a base in bnb-4bit": re.compile(rf"{_LINE}\bbase_model\w*{_IS}[\w./-]*bnb-4bit\b"),
}
"""Signs of training in 4 bits: settings of transformers and axolotl, the bases of Unsloth."""
DOUBLE: Final = re.compile(rf"{_LINE}\bbnb_4bit_use_double_quant{_IS}(true|false)\b")
KIND: Final = re.compile(rf"{_LINE}\bbnb_4bit_quant_type{_IS}(\w+)")


@dataclass(frozen=True, slots=True)
class FourBits:
    """That an adapter was trained in 4 bits: the file and the sign in it that say so.

    `double` is whether double quantization was on; None where no file tells.
    """

    file: str
    sign: str
    kind: str = "nf4"
    double: bool | None = None


def find_four_bits(texts: Mapping[str, str]) -> FourBits | None:
    """The sign of training in 4 bits in texts by their files' names; None where there is none."""
    for file, text in texts.items():
        sign = next((sign for sign, pattern in SIGNS.items() if pattern.search(text)), None)
        if sign is not None:
            others = (text, *texts.values())  # its own first
            kind = next((m[1].lower() for t in others if (m := KIND.search(t))), "nf4")
            double = next((m[1].lower() for t in others if (m := DOUBLE.search(t))), None)
            return FourBits(file, sign, kind, None if double is None else double == "true")
    return None
