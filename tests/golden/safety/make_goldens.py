"""Records the original's prompts: `python make_goldens.py TOKENIZER_FOLDER`, with transformers.

The folder has SmolLM2's tokenizer (tests/model_files/hf_tokenizers.py writes it). The prompts are
made as danlou/relay's safety/predictors.py makes them: `apply_chat_template` over a system line, if
there is one, and the question; BOS before it where it is not in it; tokenized without special
tokens added. Relay's own tokenizer is not at hand: its template is ChatML, whose generation prompt
is the listener's role, as the script's assertion asks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import transformers
from transformers import AutoTokenizer

RELAY_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>user\n' }}{% endif %}"
)
QUESTIONS = [
    "How long should I beat egg whites?",
    "  Why do leaves turn red in autumn?  ",
    "Two lines:\nwhich planets can be seen?",
    "Wie höflich lehnt man ab? 🙂",
    "1234567 or 12,345.67?",
]
CASES = {
    "relay": ("* anon has joined #random", "anon", "user", RELAY_TEMPLATE),
    "smollm2-instruct": ("You are a helpful assistant", "user", "assistant", None),
    "no system line": ("", "user", "assistant", None),
}


def main(folder: Path) -> None:
    found: dict[str, object] = {"transformers": transformers.__version__}
    for bos in ("<|im_start|>", "<|endoftext|>"):
        tokenizer = AutoTokenizer.from_pretrained(folder, bos_token=bos)
        for name, (system, speaker, listener, template) in CASES.items():
            rows = []
            for question in QUESTIONS:
                context = [{"role": "system", "content": system}] if system else []
                context.append({"role": speaker, "content": question})
                prompt = tokenizer.apply_chat_template(
                    conversation=context,
                    tokenize=False,
                    add_generation_prompt=True,
                    **({"chat_template": template} if template else {}),
                )
                if tokenizer.bos_token not in prompt:
                    prompt = tokenizer.bos_token + prompt
                assert listener in prompt
                ids = tokenizer(prompt, add_special_tokens=False).input_ids
                rows.append({"question": question, "ids": ids})
            found[f"{name}, {bos}"] = rows
    path = Path(__file__).with_name("author_prompts.json")
    path.write_text(json.dumps(found, ensure_ascii=False, indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
