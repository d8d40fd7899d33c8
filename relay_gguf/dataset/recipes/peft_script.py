"""A script that trains as Relay was trained, with torch, peft and bitsandbytes alone.

It is for people without axolotl, and its numbers are those of the configuration for that. It needs
nothing of this program. With an NVIDIA card the base is in 4 bits; without one it is rounded once
as 4-bit layers compute it and kept in float32, which a small base allows.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Final

from .base_tokenizer import base_tokenizer


def peft_script(base: str, data: Path, held_out: Path | None, *, chatml: bool) -> str:
    """The script: what is trained on what, the numbers, and the body, which is always the same.

    Args:
        base: a folder, or `owner/name` on the hub.
        data: the data set, in either form.
        held_out: its conversations that were held out; None holds out one in ten.
        chatml: the base has ChatML's tokens, even if its tokenizer is not known.

    Raises:
        SettingsError: the base's tokenizer cannot be read.
    """
    has_chatml = chatml or base_tokenizer(base).has_chatml
    head = _HEAD.format(
        named=base.replace("\\", "/").replace('"', ""),
        base=_quoted(base),
        data=_quoted(str(data)),
        held_out=_quoted("" if held_out is None else str(held_out)),
        out=_quoted(f"./outputs/relay-{Path(base).name or base}"),
        tokens=_WITH_CHATML if has_chatml else _WITHOUT_CHATML,
    )
    return head + (files(__package__) / "train_peft.txt").read_text("utf-8")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_WITH_CHATML: Final = """\
NEW_TOKENS: list[str] = []  # the base has <|im_start|> and <|im_end|>
LORA_MODULES_TO_SAVE: list[str] = []"""
_WITHOUT_CHATML: Final = """\
# The base lacks ChatML's tokens. New ones need rows of their own, which LoRA cannot learn, so the
# embeddings and the head are trained whole and saved with the adapter. (<|im_end|> is added too.)
NEW_TOKENS = ["<|im_start|>"]
LORA_MODULES_TO_SAVE = ["embed_tokens", "lm_head"]"""

_HEAD: Final = '''\
"""Trains a Relay on {named}: python FILE [--help]

QLoRA as Relay was trained, with PEFT alone: pip install torch transformers peft bitsandbytes
An NVIDIA card is used if there is one. A CPU trains small bases; these options suit it:

    python FILE --sequence-len 512 --accumulation 1 --learning-rate 1e-3 --dropout 0

Held-out loss is printed now and then. Ctrl-C stops after a step; the same command goes on from the
last checkpoint, also after a kill.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

# Read when torch is loaded: threads wait for each other by sleeping soon, not by using a core.
# Other programs on the machine then take their share, and not ten times as much.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import bitsandbytes
import bitsandbytes.functional as bnb
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

BASE_MODEL = {base}
DATA = {data}
HELD_OUT = {held_out}  # conversations that training never sees; "" takes VAL_SET_SIZE of DATA
VAL_SET_SIZE = 0.1
OUTPUT_DIR = {out}

LORA_R = 8
LORA_ALPHA = 16
LORA_DROPOUT = 0.05
# All linear layers: attention and the MLP.
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
{tokens}

# Every line is learnt, whoever says it: /lazy writes anon's. user is the model, anon the human.
ROLES_TO_TRAIN = ["system", "anon", "user"]
OTHERS = 1.0  # what a token counts that user does not say
SEQUENCE_LEN = 4096  # Relay's context
GRADIENT_ACCUMULATION_STEPS = 4
MICRO_BATCH_SIZE = 1
NUM_EPOCHS = 1
LEARNING_RATE = 0.0002  # falls to 0 along a cosine
WARMUP_STEPS = 10
WEIGHT_DECAY = 0.0
EVALS_PER_EPOCH = 10
EVAL_CHATS = 200  # held-out conversations that are looked at, at most
SAVES_PER_EPOCH = 2
SEED = 0

CARD = f"""# An adapter for {{BASE_MODEL}}

Trained by the script of `relay-gguf recipe --trainer peft`, on the base in 4 bits:

- load_in_4bit: true
- bnb_4bit_quant_type: nf4
- bnb_4bit_use_double_quant: true
"""

'''
