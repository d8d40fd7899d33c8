"""`relay-gguf recipe --trainer peft`: its script has axolotl's numbers, trains, and goes on."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dataset.dataset_runs import run
from hf_models import TINY, write_mistral
from hf_tokenizers import write_small_tokenizer, write_tokenizer

from relay_gguf.errors import SettingsError

CHATS = [
    [("anon", f"hi {i}"), ("user", f"hello, {i} it is.\nand you?"), ("system", "* anon is away")]
    for i in range(40)
]


def write_chats(path: Path, *, sharegpt: bool = False) -> Path:
    """Some short conversations."""
    names = ("conversations", "from", "value") if sharegpt else ("messages", "role", "content")
    rows = [{names[0]: [dict(zip(names[1:], line, strict=True)) for line in c]} for c in CHATS]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def constants(text: str) -> dict[str, Any]:
    """The values at the head of a script."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant | ast.List):
                found[target.id] = ast.literal_eval(node.value)
    return found


@pytest.mark.parametrize("has_chatml", [True, False])
@pytest.mark.parametrize("held_out", [True, False])
def test_its_numbers_are_those_of_the_axolotl_recipe(
    has_chatml: bool, held_out: bool, tmp_path: Path
) -> None:
    data = write_chats(tmp_path / 'o"ut #1.jsonl')
    if held_out:
        write_chats(tmp_path / 'o"ut #1-held-out.jsonl')
    arguments = ["recipe", "mistralai/base", "--data", data, *(["--chatml"] if has_chatml else [])]
    text = run(*arguments, "--trainer", "peft").stdout
    compile(text, "train.py", "exec")
    assert all(len(line) <= 100 for line in text.splitlines() if str(tmp_path) not in line)
    ours, theirs = constants(text), yaml.safe_load(run(*arguments).stdout)
    for name in (
        *("base_model", "output_dir", "lora_r", "lora_alpha", "lora_dropout", "sequence_len"),
        *("gradient_accumulation_steps", "micro_batch_size", "num_epochs", "learning_rate"),
        *("warmup_steps", "weight_decay", "evals_per_epoch", "saves_per_epoch"),
    ):
        assert ours[name.upper()] == theirs[name], name
    assert ours["LORA_MODULES_TO_SAVE"] == theirs.get("lora_modules_to_save", [])
    assert ours["NEW_TOKENS"] == theirs.get("tokens", [])
    (sets,) = theirs["datasets"]
    assert ours["DATA"] == sets["path"]
    assert ours["ROLES_TO_TRAIN"] == sets["roles_to_train"]
    assert ours["OTHERS"] == 1.0, "train_on_inputs"
    held = theirs.get("test_datasets", [{"path": ""}])[0]["path"]
    assert ours["HELD_OUT"] == held
    assert held_out or ours["VAL_SET_SIZE"] == theirs["val_set_size"]
    assert len(ours["LORA_TARGETS"]) == 7


def test_a_trainer_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    data = write_chats(tmp_path / "x.jsonl")
    with pytest.raises(SettingsError, match="--trainer must be axolotl or peft, not trl"):
        run("recipe", "a/b", "--data", data, "--trainer", "trl")


# With torch: in TORCH_PYTHON, or in the Python that runs the tests

PYTHON = os.environ.get("TORCH_PYTHON", sys.executable)
FEW = ["--sequence-len", "64", "--accumulation", "2", "--learning-rate", "1e-2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Path:
    """A tiny Mistral without ChatML's tokens."""
    folder = tmp_path_factory.mktemp("base")
    write_tokenizer(folder / "whole", smollm2)
    rename = {"<|im_start|>": "<s>", "<|im_end|>": "</s>"}
    write_small_tokenizer(folder / "tokenizer", folder / "whole", 2048, rename=rename)
    return write_mistral(folder / "Tiny-Base", folder / "tokenizer", TINY, dtype="F32")


def script(folder: Path, base: Path, *arguments: str, sharegpt: bool = False) -> Path:
    """The script for the conversations, in a folder of its own."""
    folder.mkdir()
    data = write_chats(folder / "chats.jsonl", sharegpt=sharegpt)
    path = folder / "train.py"
    path.write_text(
        run("recipe", base, "--data", data, "--trainer", "peft", *arguments).stdout, "utf-8"
    )
    return path


def train(path: Path, *options: str, stop_at: str = "", status: int = 0) -> str:
    """What the script prints; with `stop_at`, it gets Ctrl-C when that is printed."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    with subprocess.Popen(
        [PYTHON, path, *FEW, *options],
        cwd=path.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if stop_at and line.startswith(stop_at):
                process.send_signal(signal.SIGINT)
    assert process.returncode == status, said
    return said


def losses(said: str) -> list[float]:
    return [float(line.split()[4]) for line in said.splitlines() if "held-out loss" in line]


@pytest.mark.torch
def test_a_tiny_base_learns_and_its_adapter_is_converted(base: Path, tmp_path: Path) -> None:
    path = script(tmp_path / "run", base)
    said = train(path, "--epochs", "3", "--eval-every", "10")
    assert losses(said)[-1] < losses(said)[0] - 0.5, said
    out = path.parent / "outputs" / "relay-Tiny-Base"
    assert b'"F32"' in (out / "adapter_model.safetensors").read_bytes()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "relay_gguf", "convert", base, "--adapter", out),
            *("-q", "F16", "--pre", "smollm", "--out", path.parent / "models"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nf4-double" in done.stderr + done.stdout
    assert list((path.parent / "models").glob("*.gguf"))


@pytest.mark.torch
def test_a_stopped_training_goes_on_to_the_same_adapter(base: Path, tmp_path: Path) -> None:
    for name in ("whole", "stopped"):
        script(tmp_path / name, base, sharegpt=True)
    whole, stopped = tmp_path / "whole" / "train.py", tmp_path / "stopped" / "train.py"
    train(whole, "--max-steps", "12", "--half")
    said = train(stopped, "--max-steps", "12", stop_at="step 5 ")
    assert "The same command goes on from there." in said
    said = train(stopped, "--max-steps", "13", status=1)
    assert "was made with other settings: steps was 12, and is 13. Name another --out" in said
    said = train(stopped, "--max-steps", "12", "--half")
    assert "Going on from" in said
    name = "outputs/relay-Tiny-Base/adapter_model.safetensors"
    stored = (whole.parent / name).read_bytes()
    assert stored == (stopped.parent / name).read_bytes()
    assert b'"F16"' in stored
    assert b'"F32"' not in stored


@pytest.mark.torch
def test_what_is_said_is_learnt_and_who_speaks_is_not(base: Path, tmp_path: Path) -> None:
    path = script(tmp_path / "run", base)
    code = (
        "import json, train as t\n"
        "tokenizer = t.AutoTokenizer.from_pretrained(t.BASE_MODEL)\n"
        "tokenizer.add_special_tokens({'eos_token': t.CLOSE})\n"
        "tokenizer.add_tokens(t.NEW_TOKENS, special_tokens=True)\n"
        "row = json.loads(open('chats.jsonl').readline())\n"
        "ids, weights = t.encode(row, tokenizer, 0.5)\n"
        "for ask in (0.5, 1.0, 0.0):\n"
        "    kept = [i for i, w in zip(ids, weights) if w == ask]\n"
        "    print(json.dumps(tokenizer.decode(kept)))\n"
    )
    done = subprocess.run(
        [PYTHON, "-c", code], cwd=path.parent, capture_output=True, text=True, check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    others, model, unlearnt = map(json.loads, done.stdout.splitlines())
    assert others == "hi 0<|im_end|>* anon is away<|im_end|>"
    assert model == "hello, 0 it is.\nand you?<|im_end|>"
    assert unlearnt.endswith("<|im_start|>anon\n\n<|im_start|>user\n\n<|im_start|>system\n\n")
