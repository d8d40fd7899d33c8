"""Make the golden files in this folder with PEFT and bitsandbytes; README.md says what they show.

    pip install torch==2.13.0 peft==0.21.2 transformers==5.23.0 bitsandbytes==0.50.2 numpy
    HF_HUB_OFFLINE=1 PYTHONHASHSEED=0 python make_goldens.py

Not a test, and nothing of it is needed to run the tests. It asks nothing of any hub.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bitsandbytes.functional as bnb
import torch
from huggingface_hub.constants import HF_HUB_OFFLINE
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
)

HERE = Path(__file__).resolve().parent
PROMPT = torch.arange(30).reshape(2, 15)
Tensors = dict[str, torch.Tensor]
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Case:
    """An adapter trained on a base.

    Attributes:
        name: of its folder.
        base: the folder in bases/.
        lora: arguments of LoraConfig.
        train_dtype: of the base while the adapter trains; the merge is in float32 always.
        grow_to: the vocabulary's size, if it grew.
        untie: merge into a copy of the base with a head of its own. PEFT adds the difference to
            the matrix that embedding and head share, though only one of them was trained.
        resolvable: PEFT finds the base's config.json when it saves the adapter, and sees that the
            vocabulary grew. True of every adapter whose base is on the hub, or in a folder.
    """

    name: str
    base: str
    lora: dict[str, Any]
    train_dtype: torch.dtype = torch.float32
    grow_to: int | None = None
    untie: bool = False
    resolvable: bool = False


def llama(**changes: Any) -> LlamaConfig:
    """A config of a tiny Llama."""
    settings = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
    }
    return LlamaConfig(architectures=["LlamaForCausalLM"], **(settings | changes))


SMALL = {"intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 32}
BASES: dict[str, tuple[PretrainedConfig, torch.dtype]] = {
    "llama": (llama(), torch.bfloat16),
    "llama_bias": (llama(**SMALL, attention_bias=True), torch.float32),
    "llama_tied": (llama(**SMALL, tie_word_embeddings=True), torch.float32),
    "gpt2": (
        GPT2Config(
            architectures=["GPT2LMHeadModel"],
            n_embd=16,
            n_layer=1,
            n_head=2,
            n_inner=32,
            n_positions=16,
            vocab_size=32,
            bos_token_id=1,
            eos_token_id=2,
        ),
        torch.float32,
    ),
}
BF16 = torch.bfloat16
V = {"r": 4, "target_modules": ["v_proj"]}
EMBED = {"r": 2, "target_modules": ["embed_tokens"]}
BOTH = {"r": 2, "target_modules": ["embed_tokens", "lm_head"]}
BIAS = {"r": 2, "lora_alpha": 6, "target_modules": ["v_proj"]}
CONV1D = {"r": 2, "fan_in_fan_out": True}
GROWN = V | {"layers_to_transform": [1], "modules_to_save": ["embed_tokens", "lm_head"]}
PATTERNS = {
    "r": 4,
    "target_modules": ["k_proj", "v_proj"],
    "rank_pattern": {
        "^model.layers.0.self_attn.k_proj": 2,
        r"layers\.1\..*k_proj": 6,
        "layers.1.self_attn.v_proj": 3,
        "v_proj": 5,
    },
    "alpha_pattern": {"k_proj": 5, "layers.0.self_attn.v_proj": 20},
}
CASES = [
    Case("plain", "llama", {"r": 8, "lora_alpha": 16, "target_modules": LINEARS}),
    Case("rslora", "llama", V | {"r": 8, "lora_alpha": 16, "use_rslora": True}),
    Case("dora", "llama", {"r": 4, "target_modules": ["k_proj", "v_proj"], "use_dora": True}),
    Case("patterns", "llama", PATTERNS),
    Case("grown", "llama", GROWN, BF16, 66),
    Case("grown_resolvable", "llama", GROWN, BF16, 66, resolvable=True),
    Case("grown_embedding_lora", "llama", BOTH, BF16, 66),
    Case("embedding_lora", "llama_bias", EMBED | {"target_modules": ["v_proj", "embed_tokens"]}),
    Case("embedding_dora", "llama_bias", EMBED | {"use_dora": True}),
    Case("trainable_tokens", "llama_bias", V | {"trainable_token_indices": [20, 3, 31]}),
    Case("tied_lm_head", "llama_tied", V | {"modules_to_save": ["lm_head"]}),
    Case("tied_embedding_lora", "llama_tied", EMBED, untie=True),
    Case("tied_trainable_tokens", "llama_tied", V | {"trainable_token_indices": [20, 3]}),
    Case("bias_all", "llama_bias", BIAS | {"bias": "all"}),
    Case("bias_lora_only", "llama_bias", BIAS | {"bias": "lora_only"}),
    Case("lora_bias", "llama_bias", BIAS | {"lora_bias": True}),
    Case("fan_in_fan_out", "gpt2", CONV1D | {"target_modules": ["c_attn", "c_fc"]}),
    Case("fan_in_fan_out_dora", "gpt2", CONV1D | {"target_modules": ["c_fc"], "use_dora": True}),
    Case("bf16_base", "llama", V | {"modules_to_save": ["lm_head"]}, BF16),
]


def fresh(config: PretrainedConfig, tensors: Tensors, dtype: torch.dtype) -> PreTrainedModel:
    """A model of these weights in dtype."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    head = model.get_output_embeddings().weight
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    tied = head is model.get_input_embeddings().weight
    assert not unexpected
    assert missing == (["lm_head.weight"] if tied and "lm_head.weight" not in tensors else [])
    return model


def make_base(name: str, config: PretrainedConfig, dtype: torch.dtype) -> None:
    """Write bases/name/: config.json, model.safetensors."""
    torch.manual_seed(zlib.crc32(name.encode()))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for key, parameter in model.named_parameters():
        norm = key.endswith(("norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight"))
        parameter.data.normal_(1.0 if norm else 0.0, 0.1)
    config.dtype = dtype
    config.save_pretrained(f"bases/{name}")
    tensors = {key: value.to(dtype).contiguous() for key, value in model.state_dict().items()}
    if config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    save_file(tensors, f"bases/{name}/model.safetensors", {"format": "pt"})


@torch.no_grad()
def make_case(case: Case) -> None:
    """Write name/: the adapter as PEFT saves it, and the tensors that its merge changes or adds."""
    base = load_file(f"bases/{case.base}/model.safetensors")

    def start(dtype: torch.dtype, untie: bool = False) -> PreTrainedModel:
        config = AutoConfig.from_pretrained(f"bases/{case.base}")
        config.tie_word_embeddings = config.tie_word_embeddings and not untie
        head = {"lm_head.weight": base["model.embed_tokens.weight"]} if untie else {}
        model = fresh(config, base | head, dtype)
        if case.grow_to:
            torch.manual_seed(1)  # the new rows are the same whenever the base is loaded
            model.resize_token_embeddings(case.grow_to, mean_resizing=False)
        model.name_or_path = f"example/tiny-{case.base}"
        if case.resolvable:
            model.name_or_path = f"bases/{case.base}"
        return model

    lora = {"lora_alpha": 8} | case.lora
    model = start(case.train_dtype)
    torch.manual_seed(zlib.crc32(case.name.removesuffix("_resolvable").encode()))
    trained = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora))
    for _, parameter in sorted(trained.named_parameters()):
        if parameter.requires_grad:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    shutil.rmtree(case.name, ignore_errors=True)
    adapter = Path(case.name, "adapter")
    trained.save_pretrained(str(adapter))
    (adapter / "README.md").unlink()  # an empty model card

    loaded = PeftModel.from_pretrained(start(torch.float32, case.untie), adapter)
    merged = loaded.merge_and_unload()
    tensors = merged.state_dict()
    if merged.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    changed = {
        key: value.contiguous()
        for key, value in tensors.items()
        if key not in base or not torch.equal(value, base[key].float())
    }
    if not case.resolvable:  # else it is as that of grown
        save_file(changed, f"{case.name}/merged.safetensors", {"format": "pt"})
    # The merged tensors in a fresh model must compute what the trained model did.
    logits = trained.float().eval()(PROMPT).logits
    again = fresh(merged.config, {k: v.float() for k, v in base.items()} | changed, torch.float32)
    torch.testing.assert_close(again(PROMPT).logits, logits, rtol=1e-4, atol=1e-5)


def outliers() -> torch.Tensor:
    """A matrix that makes it hard; its blocks straddle its rows."""
    matrix = torch.randn(40, 96) * 0.02
    matrix.view(-1)[torch.randperm(matrix.numel())[:12]] *= 60.0
    blocks = matrix.view(-1, 64)
    blocks[5] = 0.0
    blocks[7] = -0.015625
    blocks[9] *= 1e-30
    blocks[59, 1:] = 0.0
    return matrix.bfloat16()


def make_nf4() -> None:
    """Write nf4/: matrices, their checkpoints as bitsandbytes lays them out, and dequantized."""
    folder = HERE / "nf4"
    folder.mkdir(exist_ok=True)
    torch.manual_seed(4)
    matrices = {"normal": (torch.randn(96, 128) * 0.02).bfloat16(), "outliers": outliers()}
    save_file(matrices, folder / "matrices.safetensors")
    for kind in ("single", "double"):
        checkpoint: Tensors = {}
        results: Tensors = {}
        for name, matrix in matrices.items():
            packed, state = bnb.quantize_4bit(
                matrix, blocksize=64, compress_statistics=kind == "double", quant_type="nf4"
            )
            checkpoint[f"{name}.weight"] = packed
            for part, value in state.as_dict(packed=True).items():
                checkpoint[f"{name}.weight.{part}"] = value.contiguous()
            # On a CPU, bitsandbytes 0.50.2 takes wrong scales where blocks straddle rows.
            state.shape = torch.Size((matrix.numel() // 64, 64))
            results[f"{name}.weight"] = bnb.dequantize_4bit(packed, state).reshape(matrix.shape)
        save_file(checkpoint, folder / f"{kind}.safetensors", {"format": "pt"})
        save_file(results, folder / f"{kind}_dequantized.safetensors", {"format": "pt"})

    # What double quantization does to absmax, for more than one block of 256.
    absmax = torch.rand(600) * 0.03 + 0.04
    offset = absmax.mean()
    codes, state = bnb.quantize_blockwise(absmax - offset, blocksize=256)
    nested = {"absmax": absmax, "offset": offset, "codes": codes, "nested_absmax": state.absmax}
    nested["dequantized"] = bnb.dequantize_blockwise(codes, state) + offset
    save_file(nested, folder / "nested.safetensors")


def main() -> None:
    """Make everything."""
    assert HF_HUB_OFFLINE, "set HF_HUB_OFFLINE=1"
    torch.set_num_threads(1)
    (HERE / "merge").mkdir(exist_ok=True)
    os.chdir(HERE / "merge")  # adapters name their bases relative to it
    for name, (config, dtype) in BASES.items():
        make_base(name, config, dtype)
    for case in CASES:
        make_case(case)
    make_nf4()
    packages = ["torch", "peft", "transformers", "bitsandbytes", "safetensors", "numpy"]
    versions = {name: version(name) for name in packages}
    versions["python"] = platform.python_version()
    versions["torch_cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
