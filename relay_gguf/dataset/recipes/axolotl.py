"""A configuration for axolotl that trains as Relay was trained, on a data set made by this program.

The numbers are those of Relay's own training: QLoRA of rank 8 and alpha 16 on all linear layers,
4096 tokens, one epoch at 2e-4, on every line whoever says it. Only axolotl has changed since: it no
longer has `sharegpt` data, so its `chat_template` data is told the roles, all of which are learnt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from .base_tokenizer import BaseTokenizer, base_tokenizer

TEMPLATE: Final = (
    "{%- if bos_token and bos_token != '<|im_start|>' -%}{{ bos_token }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor -%}"
)
"""ChatML with BOS, as Relay's prompts have it."""


def recipe(base: str, data: Path, held_out: Path | None, *, sharegpt: bool, chatml: bool) -> str:
    """The configuration as YAML.

    Args:
        base: a folder, or `owner/name` on the hub.
        data: the data set.
        held_out: its conversations that were held out; None holds out one in ten.
        sharegpt: the data set has ShareGPT's form.
        chatml: the base has ChatML's tokens, even if its tokenizer is not known.

    Raises:
        SettingsError: the base's tokenizer cannot be read.
    """
    known = base_tokenizer(base)
    sets = _data_set("datasets", data, sharegpt)
    if held_out is not None:
        sets += "# Conversations that training never sees.\n"
        sets += _data_set("test_datasets", held_out, sharegpt, split="train")
    else:
        sets += "# No file was held out, so one conversation in ten is.\nval_set_size: 0.1\n"
    name = f"relay-{Path(base).name or base}"
    return _CONFIG.format(
        base=_quoted(base),
        sets=sets,
        template=_quoted(TEMPLATE),
        out=_quoted(f"./outputs/{name}"),
        tokens=_tokens(known, has_chatml=chatml or known.has_chatml),
    )


def _data_set(key: str, path: Path, sharegpt: bool, split: str = "") -> str:
    lines = [
        f"{key}:",
        f"  - path: {_quoted(str(path))}",
        "    ds_type: json",
        *([f"    split: {split}"] if split else []),
        "    type: chat_template",
        f"    field_messages: {'conversations' if sharegpt else 'messages'}",
        "    message_property_mappings:",
        f"      role: {'from' if sharegpt else 'role'}",
        f"      content: {'value' if sharegpt else 'content'}",
        "    # Each role keeps its name. user is the model, and anon the human.",
        "    roles:",
        *(f"      {role}: [{role}]" for role in ("system", "anon", "user")),
        "    roles_to_train: [system, anon, user]",
        "    train_on_eos: all",
    ]
    return "\n".join(lines) + "\n"


def _tokens(known: BaseTokenizer, *, has_chatml: bool) -> str:
    lines = [
        "# A line ends with <|im_end|>, so that is where generation ends.",
        "special_tokens:",
        '  eos_token: "<|im_end|>"',
        *(f"  {name}: {_quoted(token)}" for name, token in known.special.items()),
    ]
    if not known.is_known:
        lines += [
            "# special_tokens must be those of the base: add its bos_token, unk_token, pad_token.",
            "# Or have them read, and ChatML's looked for: download the base into a folder with",
            "# `hf download OWNER/NAME --local-dir FOLDER`, then `relay-gguf recipe FOLDER ...`",
        ]
    if has_chatml:
        lines.append("# The base has <|im_start|> and <|im_end|>: its vocabulary need not grow.")
    else:
        if not known.is_known:
            lines.append("# If the base has ChatML's tokens already, take --chatml. Else it is so:")
        lines += [
            "# The base lacks ChatML's tokens. New ones need rows of their own, which LoRA cannot",
            "# learn, so the embeddings and the head are trained whole and saved with the adapter.",
            "tokens:",
            '  - "<|im_start|>"',
            "lora_modules_to_save: [embed_tokens, lm_head]",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_CONFIG: Final = """\
# Trains a Relay on {base}: axolotl train FILE
# Then: relay-gguf convert BASE --adapter OUTPUT --merge-base nf4-double --out models
base_model: {base}

# QLoRA: the base in 4 bits and frozen, the adapter in 16.
load_in_4bit: true
adapter: qlora
lora_r: 8
lora_alpha: 16
lora_dropout: 0.05
# All linear layers: attention (q, k, v, o) and the MLP (gate, up, down).
lora_target_linear: true

{tokens}
# ChatML with BOS before the first line. It prints no line for a reply to come, since who speaks
# next, anon or user, is the program's choice.
chat_template: jinja
chat_template_jinja: {template}

{sets}
# Every line is learnt, whoever says it: /lazy writes anon's.
train_on_inputs: true

# Relay's context. Short conversations share one sequence, long ones fill it.
sequence_len: 4096
sample_packing: true
pad_to_sequence_len: true

gradient_accumulation_steps: 4
micro_batch_size: 1
num_epochs: 1
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 0.0002
warmup_steps: 10
weight_decay: 0.0

bf16: auto
gradient_checkpointing: true
flash_attention: true
logging_steps: 1
evals_per_epoch: 10
saves_per_epoch: 2
output_dir: {out}
"""
