"""`relay-gguf recipe`, as it is typed, and what its training sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from dataset.dataset_runs import run

from relay_gguf.conversation.messages import Message
from relay_gguf.conversation.prompt import render
from relay_gguf.dataset.recipes import axolotl
from relay_gguf.errors import SettingsError


def config(*arguments: object) -> dict[str, Any]:
    """A recipe, read as axolotl reads it."""
    text = run("recipe", *arguments).stdout
    assert all(len(line) <= 100 for line in text.splitlines() if '"' not in line)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_a_recipe_is_axolotls_configuration(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run("dataset", log, "--as", "ann", "-o", out)
    found = config("mistralai/Mistral-Nemo-Base-2407", "--data", out)
    assert (found["adapter"], found["lora_r"], found["lora_alpha"]) == ("qlora", 8, 16)
    assert found["load_in_4bit"] is found["lora_target_linear"] is found["train_on_inputs"] is True
    assert (found["sequence_len"], found["learning_rate"]) == (4096, 0.0002)
    assert found["lora_modules_to_save"] == ["embed_tokens", "lm_head"]
    assert found["tokens"] == ["<|im_start|>"]
    assert found["special_tokens"] == {
        "eos_token": "<|im_end|>",
        "bos_token": "<s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
    }
    (data,) = found["datasets"]
    assert (data["path"], data["type"]) == (str(out), "chat_template")
    assert data["field_messages"] == "messages"
    assert data["message_property_mappings"] == {"role": "role", "content": "content"}
    assert data["roles"] == {"system": ["system"], "anon": ["anon"], "user": ["user"]}
    assert found["val_set_size"] == 0.1


def test_a_recipe_takes_held_out_conversations_and_sharegpt(many: Path, tmp_path: Path) -> None:
    out = tmp_path / 'o"ut #1.jsonl'
    run("dataset", many, "--as", "ann", "-o", out, "--sharegpt", "--split", 0.2)
    found = config("mistralai/base", "--data", out, "--chatml")
    assert found["test_datasets"][0]["path"] == str(tmp_path / 'o"ut #1-held-out.jsonl')
    assert found["datasets"][0]["path"] == str(out)
    assert found["datasets"][0]["message_property_mappings"] == {"role": "from", "content": "value"}
    assert "val_set_size" not in found
    assert "lora_modules_to_save" not in found
    assert "tokens" not in found


def test_a_recipe_looks_into_a_folder(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run("dataset", log, "--as", "ann", "-o", out)
    base = tmp_path / "base"
    base.mkdir()
    with pytest.raises(SettingsError, match=r"has no tokenizer\.json") as error:
        config(base, "--data", out)
    assert str(error.value) == f"The folder {base} has no tokenizer.json, which a base needs."
    tokens = [{"content": token} for token in ("<|im_start|>", "<|im_end|>")]
    (base / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    (base / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": {"content": "<|im_start|>"}, "unk_token": None})
    )
    found = config(base, "--data", out)
    assert "tokens" not in found
    assert found["special_tokens"] == {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}


@pytest.mark.parametrize("chatml", [True, False])
def test_a_recipe_for_an_unknown_base_says_what_to_add(
    chatml: bool, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    run("dataset", log, "--as", "ann", "-o", out)
    arguments = ("Qwen/Qwen2.5-7B", "--data", out, *(["--chatml"] if chatml else []))
    found = config(*arguments)
    assert found["special_tokens"] == {"eos_token": "<|im_end|>"}
    assert ("tokens" in found) is not chatml
    comments = [line for line in run("recipe", *arguments).stdout.splitlines() if line[:1] == "#"]
    assert any("special_tokens must be those of the base" in line for line in comments)
    assert any("hf download OWNER/NAME --local-dir FOLDER" in line for line in comments)
    assert any("take --chatml. Else" in line for line in comments) is not chatml
    of_mistral = run("recipe", "me/my-MISTRAL", *arguments[1:]).stdout
    assert "must be those of the base" not in of_mistral
    assert yaml.safe_load(of_mistral)["special_tokens"]["bos_token"] == "<s>"


@pytest.mark.parametrize("base", ["base", "a/b/c", "own er/name"])
def test_a_recipe_for_something_that_is_not_a_base_is_refused(base: str, tmp_path: Path) -> None:
    data = tmp_path / "x"
    data.write_text('{"messages": []}\n')
    with pytest.raises(SettingsError, match="is neither a folder nor OWNER/NAME"):
        config(base, "--data", data)


def test_a_recipe_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}\n")
    with pytest.raises(SettingsError, match="neither messages nor conversations"):
        config("base", "--data", tmp_path / "x")
    with pytest.raises(SettingsError, match="Cannot read"):
        config("base", "--data", tmp_path / "y")
    (tmp_path / "x").write_text('{"messages": []}\n')
    with pytest.raises(SettingsError, match=r"There is no folder \./base"):
        config("./base", "--data", tmp_path / "x")


@pytest.mark.parametrize("bos", ["<s>", "", "<|im_start|>"])
def test_training_sees_what_relay_sees(bos: str) -> None:
    roles = [("anon", "hi"), ("user", "hello\nthere")]
    messages = [{"role": role, "content": content} for role, content in roles]
    rendered = jinja2.Template(axolotl.TEMPLATE).render(messages=messages, bos_token=bos)
    prompt = render(
        [Message(*line) for line in roles], "user", bos_text=bos if bos == "<s>" else ""
    )
    assert rendered == prompt.removesuffix("<|im_start|>user\n")
