"""A tiny guard model with a vocabulary laid out as Llama 3's, and a template as Llama Guard 3's.

Its figures mean nothing: its weights are random.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pico import write_pico

CONTROL: Final = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
MERGES: Final = ["s a", "f e", "sa fe", "u n", "un safe", "\u010a \u010a"]
TEMPLATE: Final = """\
{%- if messages | length % 2 == 0 -%}
{%- set role = 'Agent' -%}
{%- else -%}
{%- set role = 'User' -%}
{%- endif -%}
{{- '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\\n\\n' -}}
{{- "Task: say whether the last '" + role + "' message breaks a rule.\\n\\n" -}}
{{- '<BEGIN RULES>\\nS1: Rudeness.\\nS2: Noise.\\n<END RULES>\\n\\n<BEGIN CONVERSATION>\\n\\n' -}}
{%- for message in messages -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Roles must alternate.') -}}
{%- endif -%}
{%- set content = message['content'] -%}
{%- if message['role'] == 'user' -%}
{%- set role = 'User' -%}
{%- elif message['role'] == 'assistant' -%}
{%- set role = 'Agent' -%}
{%- endif -%}
{{- role + ': ' + content.strip() + '\\n\\n' -}}
{%- endfor -%}
{{- '<END CONVERSATION>\\n\\nFirst line safe or unsafe, for ONLY THE LAST ' + role + ' message.' -}}
{{- '<|eot_id|><|start_header_id|>assistant<|end_header_id|>' -}}
"""


def _bytes() -> list[str]:
    """The letters that stand for bytes in a byte-level vocabulary, as GPT-2 has them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


def llama3_keys() -> dict[str, Any]:
    """The tokenizer.* keys: bytes, the words that a guard needs, control tokens at the end."""
    tokens = [*_bytes(), *(merge.replace(" ", "") for merge in MERGES)]
    first = len(tokens)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": [*tokens, *CONTROL],
        "tokenizer.ggml.token_type": [1] * first + [3] * len(CONTROL),
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": first,
        "tokenizer.ggml.eos_token_id": first + CONTROL.index("<|eot_id|>"),
    }


def write_guard(
    path: Path, template: str = TEMPLATE, vocabulary: Path | Mapping[str, Any] | None = None
) -> Path:
    """Write the model; its path. `vocabulary` is a GGUF file's in place of the small one."""
    texts = {"general.name": "Tiny Llama Guard 3", "tokenizer.chat_template": template}
    # A small norm makes small logits, and so no verdict certain.
    return write_pico(path, vocabulary or llama3_keys(), add_bos=True, texts=texts, spoil=0.1)
