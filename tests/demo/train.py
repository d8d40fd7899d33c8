"""Train the demo's adapter: LoRA on a base at its round trip through NF4, as QLoRA computes.

    python tests/demo/train.py CHATS.jsonl OUT [--steps 600] [--rate 1e-3] [--seed 1]

Rank 8, alpha 16, all linear layers, ChatML without a system prompt, as Relay was trained. What the
model says counts in full, the lines of the others for less: they are needed by /lazy only. The
base is SmolLM2-135M out of its GGUF file, which is what the adapter is merged into later.

What training has come to is written to OUT every hundred steps. Needs torch, transformers, peft and
bitsandbytes besides this project; on two cores a step takes four seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bitsandbytes.functional as bnb
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from relay_gguf.models.demo import demo_model

sys.path.insert(0, str(Path(__file__).parents[1] / "model_files"))
from hf_models import write_smollm2

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
TOKENS = 768
"""Of a batch, about; a step has one."""
HELD_OUT = 64
"""Conversations at the end of the file that are not trained on."""
OTHERS = 0.2
"""The weight of a token that the model does not say."""

Chat = tuple[list[int], list[float]]


def main() -> None:
    """Train, and print the held-out loss now and then."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("chats", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        base = write_smollm2(Path(scratch) / "SmolLM2-135M-Instruct", demo_model())
        tokenizer: Any = AutoTokenizer.from_pretrained(base)
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    round_to_nf4(model)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=LINEAR, task_type="CAUSAL_LM")
    config.base_model_name_or_path = BASE
    model = get_peft_model(model.to(torch.bfloat16), config)  # whose own weights are float32
    model.peft_config["default"].base_model_name_or_path = BASE  # not the folder it came out of
    chats = [
        tokens(tokenizer, json.loads(line)["messages"])
        for line in arguments.chats.read_text("utf-8").splitlines()
    ]
    held, chats = chats[-HELD_OUT:], chats[:-HELD_OUT]
    if not chats:
        parser.error(f"{arguments.chats} has no more than the {HELD_OUT} that are held out.")
    for step in train(model, chats, rng, arguments.steps, arguments.rate):
        print(f"step {step}: held-out loss {held_out_loss(model, held):.4f}", flush=True)
        model.save_pretrained(arguments.out)
        to_half(arguments.out / "adapter_model.safetensors")
        (arguments.out / "README.md").unlink()  # a form that nobody has filled in


def round_to_nf4(model: Any) -> None:
    """Round the linear layers once: the forward pass of bitsandbytes' 4-bit layers, far quicker."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            packed, state = bnb.quantize_4bit(
                module.weight.data.to(torch.bfloat16), quant_type="nf4", compress_statistics=True
            )
            rounded = bnb.dequantize_4bit(packed, state)
            module.weight.data = rounded.to(module.weight.dtype).clone()


def to_half(path: Path) -> None:
    """Store an adapter in F16: half the bytes, and 5e-4 of a tensor's largest value lost."""
    tensors = {name: tensor.half() for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def tokens(tokenizer: Any, messages: list[dict[str, str]]) -> Chat:
    """Ids of a conversation, and what each counts."""
    ids: list[int] = []
    weights: list[float] = []
    for message in messages:
        head = tokenizer(f"<|im_start|>{message['role']}\n").input_ids
        said = tokenizer(f"{message['content']}<|im_end|>").input_ids
        end = tokenizer("\n").input_ids
        ids += head + said + end
        spoken = message["role"] == "user" and not message["content"].startswith("/")
        weights += [OTHERS] * len(head) + [1.0 if spoken else OTHERS] * len(said)
        weights += [0.0] * len(end)
    return ids, weights


def batches(chats: list[Chat], rng: random.Random) -> list[list[Chat]]:
    """Conversations of about the same length together, in a random order."""
    order = sorted(chats, key=lambda chat: (len(chat[0]) // 16, rng.random()))
    found: list[list[Chat]] = [[]]
    for chat in order:
        if found[-1] and len(chat[0]) * (len(found[-1]) + 1) > TOKENS:
            found.append([])
        found[-1].append(chat)
    rng.shuffle(found)
    return found


def loss_of(model: Any, batch: list[Chat]) -> Any:
    """The weighted mean of the cross-entropy, in nats a token."""
    length = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([ids + [0] * (length - len(ids)) for ids, _ in batch])
    weights = torch.tensor([w + [0.0] * (length - len(w)) for _, w in batch])[:, 1:]
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=ids).logits
    every = torch.nn.functional.cross_entropy(
        logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none"
    )
    return (every * weights).sum() / weights.sum()


@torch.no_grad()
def held_out_loss(model: Any, held: list[Chat]) -> float:
    """The loss on conversations that training does not see."""
    model.eval()
    losses = [loss_of(model, [chat]).item() for chat in held]
    model.train()
    return sum(losses) / len(losses)


def train(
    model: Any, chats: list[Chat], rng: random.Random, n_steps: int, rate: float
) -> Iterator[int]:
    """Take steps at a rate that falls to zero; yields the number of those taken, now and then."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    waiting: list[list[Chat]] = []
    for step in range(n_steps):
        if step % 100 == 0:
            yield step
        falling = 0.5 + 0.5 * math.cos(math.pi * step / n_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 20) * falling
        waiting = waiting or batches(chats, rng)
        loss = loss_of(model, waiting.pop())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    yield n_steps


if __name__ == "__main__":
    main()
