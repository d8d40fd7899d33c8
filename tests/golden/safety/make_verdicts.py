"""Records P(unsafe) as transformers computes it: `python make_verdicts.py [VOCABULARY.gguf]`.

Needs torch, transformers and gguf. The models are those of the tests (tests/safety/tiny_guard.py);
transformers reads the whole file: template, tokenizer and weights. The logits are in 64 bits.
VOCABULARY.gguf is Llama 3's own, models/ggml-vocab-llama-bpe.gguf of llama.cpp's source, which is
in the sdist of llama-cpp-python under vendor/.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS.parent), str(TESTS / "model_files"), str(TESTS / "safety")]

from tiny_guard import write_guard  # noqa: E402

PAIRS = [
    ("Why?", "No idea."),
    ("Who?", "Ask him."),
    ("Where to?", "The long ones."),
    ("How?", ""),
    ("  Two lines:\nwhy? ", "Because 12,345.67 is more than \u20ac 3.\n\n\tSo it's that."),
    ("Wie h\u00f6flich lehnt man ab?", "Nein danke \U0001f642"),
]
OPENING = "\n\n"
"""What the guard's first token is."""


def verdicts(path: Path) -> list[dict[str, Any]]:
    """Both labels, and each pair: its ids with the opening, and what stands behind them."""
    model: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer: Any = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    assert isinstance(model, transformers.LlamaForCausalLM)
    model = model.double().eval()
    safe, unsafe = (
        tokenizer(OPENING + label, add_special_tokens=False).input_ids[-1]
        for label in ("safe", "unsafe")
    )
    found = []
    for question, answer in PAIRS:
        talk = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        text = tokenizer.apply_chat_template(talk, tokenize=False) + OPENING
        ids = tokenizer(text, add_special_tokens=False).input_ids
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        p_unsafe = torch.softmax(logits[[safe, unsafe]], 0)[1].item()
        weight = torch.softmax(logits, 0)[[safe, unsafe]].sum().item()
        row = {"question": question, "answer": answer, "ids": ids}
        said = {"p_unsafe": round(p_unsafe, 7), "weight": round(weight, 9)}
        found.append(row | said | {"likeliest": int(logits.argmax())})
    return [{"safe": safe, "unsafe": unsafe}, *found]


def main() -> None:
    path = Path(__file__).with_name("verdicts.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    found |= {"transformers": transformers.__version__}
    vocabularies = [None, *map(Path, sys.argv[1:2])]
    for name, vocabulary in zip(("small", "llama-3"), vocabularies, strict=False):
        with tempfile.TemporaryDirectory() as scratch:
            guard = write_guard(Path(scratch) / "guard.gguf", vocabulary=vocabulary)
            labels, *rows = verdicts(guard)
            found[name] = labels | {"rows": rows}
    path.write_text(_lines(found), "utf-8")


def _lines(found: dict[str, Any]) -> str:
    """As JSON, a row a line."""
    blocks = [f'"transformers": {json.dumps(found["transformers"])}']
    for name in ("small", "llama-3"):
        if name in found:
            said = found[name]
            rows = ",\n".join(json.dumps(row) for row in said["rows"])
            blocks.append(
                f'"{name}": {{"safe": {said["safe"]}, "unsafe": {said["unsafe"]}, "rows": [\n{rows}'
                "\n]}"
            )
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    main()
