"""Each fault of a file's metadata is found, and said in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from findings_of_files import findings, wrong
from tiny_gguf import TOKENS, good_keys, write

from relay_gguf.convert.quantize.ggml import check_opens
from relay_gguf.convert.template import relay_template
from relay_gguf.errors import ConversionError

MISSING = object()
Change = Callable[[dict[str, Any]], None]


def changed(**changes: Any) -> Change:
    """Other values of keys, `MISSING` for none."""

    def change(keys: dict[str, Any]) -> None:
        keys.update({name: item for name, item in changes.items() if item is not MISSING})
        for name in [name for name, item in changes.items() if item is MISSING]:
            del keys[name]

    return change


def at(name: str, item: Any = MISSING) -> Change:
    """Another value of one key."""
    return changed(**{name: item})


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
WITHOUT_BOS = {
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.chat_template": relay_template(bos=False),
}
OLDER = "{#- Relay chat template, version 0, by relay-gguf. -#}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # the template
        (
            at("tokenizer.chat_template", relay_template(bos=False)),
            ("note", "template", "The chat template is Relay's, of another version or for o"),
        ),
        (
            at("tokenizer.chat_template.tool_use", CHATML),
            ("note", "template", "Beside Relay's chat template there is another one, which apps"),
        ),
        (
            at("tokenizer.chat_template", CHATML),
            ("problem", "template", "The chat template is ChatML for assistants: wrong"),
        ),
        (
            at("tokenizer.chat_template", "[INST] {{ messages[0].content }} [/INST]"),
            ("problem", "template", "The chat template is for another kind of model: wrong"),
        ),
        (at("tokenizer.chat_template"), ("problem", "template", "There is no chat template,")),
        (
            at("tokenizer.chat_template", OLDER),
            ("note", "template", "The chat template is Relay's, of another version or for o"),
        ),
        # ChatML
        (
            at("tokenizer.ggml.token_type", [3, 1, 3, 1, 1, 1, 1, 1]),
            ("problem", "chatml", "<|im_start|> is not a control token: llama.cpp reads it"),
        ),
        (
            at("tokenizer.ggml.token_type", [3, 5, 3, 1, 1, 1, 1, 1]),
            ("problem", "chatml", "<|im_start|> is not a control token: llama.cpp reads it"),
        ),
        (
            at("tokenizer.ggml.token_type", [3, 4, 3, 1, 1, 1, 1, 1]),
            ("note", "chatml", "<|im_start|> is a user-defined token: whoever types it begins a "),
        ),
        (
            at("tokenizer.ggml.token_type", [3, 2, 3, 1, 1, 1, 1, 1]),
            ("note", "chatml", "<|im_start|> is marked as unknown: programs may print it."),
        ),
        (
            at("tokenizer.ggml.token_type", [3, 3, 1, 1, 1, 1, 1, 1]),
            ("note", "chatml", "<|im_end|> is not a control token. llama.cpp corrects that, other"),
        ),
        (
            at("tokenizer.ggml.tokens", ["<s>", "<|im_start|>", *"xyzuvw"]),
            ("problem", "chatml", "The vocabulary lacks <|im_end|>: Relay speaks ChatML."),
        ),
        # ends and beginnings
        (
            at("tokenizer.ggml.eos_token_id", 4),
            ("note", "eos", "The end of a reply is a. llama.cpp also stops at <|im_end|>, others"),
        ),
        (
            at("tokenizer.ggml.eos_token_id", 99),
            ("note", "eos", "The end of a reply is token 99, which is not there. llama.cpp also"),
        ),
        (at("tokenizer.ggml.eos_token_id"), ("note", "eos", "The end of a reply is not set.")),
        (
            at("tokenizer.ggml.bos_token_id"),
            ("problem", "bos", "Prompts should begin with BOS, and the file has no such token"),
        ),
        (
            at("tokenizer.ggml.bos_token_id", 99),
            ("problem", "bos", "Prompts should begin with BOS, and the file has no such token"),
        ),
        (
            changed(**WITHOUT_BOS),
            ("note", "bos", "Prompts begin without <s>, with which Mistral's models were"),
        ),
        (
            changed(**{"tokenizer.ggml.add_bos_token": MISSING, "tokenizer.ggml.pre": "tekken"}),
            None,
        ),
        (
            changed(**{"tokenizer.ggml.add_bos_token": MISSING, "tokenizer.ggml.model": "llama"}),
            ("problem", "vocabulary", "The vocabulary is SentencePiece's and has no token for 238"),
        ),
        (
            changed(**WITHOUT_BOS, **{"tokenizer.ggml.bos_token_id": MISSING}),
            None,
        ),
        (changed(**WITHOUT_BOS, **{"tokenizer.ggml.bos_token_id": 1}), None),
        # the vocabulary
        (
            at("tokenizer.ggml.tokens", [*TOKENS[:6], "a", "d"]),
            ("problem", "vocabulary", "The token 'a' is there twice: llama.cpp ends with an"),
        ),
        (
            at("tokenizer.ggml.tokens", [*TOKENS[:4], *"aabb"]),
            ("problem", "vocabulary", "The token 'a' and 1 others are there twice: llama.cpp"),
        ),
        (
            at("tokenizer.ggml.token_type", [3, 3, 3]),
            ("problem", "vocabulary", "3 of 8 tokens have a type: llama.cpp refuses the file."),
        ),
        (
            changed(
                **{
                    "tokenizer.ggml.tokens": [*TOKENS, "e"],
                    "tokenizer.ggml.token_type": [3, 3, 3, 1, 1, 1, 1, 1, 1],
                }
            ),
            ("problem", "vocabulary", "There are 9 tokens and 8 rows of embedding: llama.cpp"),
        ),
        (
            changed(
                **{
                    "tokenizer.ggml.tokens": TOKENS[:7],
                    "tokenizer.ggml.token_type": [3, 3, 3, 1, 1, 1, 1],
                }
            ),
            ("problem", "vocabulary", "There are 7 tokens and 8 rows of embedding: llama.cpp"),
        ),
        (
            at("tokenizer.ggml.pre"),
            ("note", "vocabulary", "The file does not say how to cut text into words (tokenizer."),
        ),
        # context
        (
            at("llama.context_length", 1024000),
            ("note", "context", "The file claims a context of 1,024,000 tokens: an app that "
             "believes it takes 66 MB of memory for it."),
        ),
        (
            at("llama.context_length", 2048),
            ("note", "context", "The context is 2,048 tokens; Relay was trained on 4,096."),
        ),
        (
            at("llama.context_length"),
            ("problem", "context", "llama.context_length is missing: llama.cpp refuses the file."),
        ),
        (
            at("llama.context_length", "long"),
            ("problem", "context", "llama.context_length is of type STRING and should be UINT32:"),
        ),
        # sampling
        (
            at("general.sampling.penalty_last_n", -1),
            ("problem", "sampling", "penalty_last_n is -1: llama.cpp takes it as 0, and penal"),
        ),
        (at("general.sampling.penalty_last_n", 0), None),
        (
            at("general.sampling.temp", 20.0),
            ("problem", "sampling", "temp is 20.0; it should be from 0 to 2."),
        ),
        (
            at("general.sampling.temp", math.nan),
            ("problem", "sampling", "temp is nan; it should be from 0 to 2."),
        ),
        (
            at("general.sampling.min_p", "much"),
            ("problem", "sampling", "min_p is much; it should be from 0 to 1."),
        ),
        (
            at("general.sampling.sequence", "penalties;temp;top_k"),
            ("note", "sampling", "The order of samplers has unknown ones: temp."),
        ),
        # other kinds
        (at("general.type", "adapter"), ("problem", "kind", "This is not a model: general.")),
        (at("general.architecture"), ("problem", "kind", "The file does not say what it is:")),
        (at("tokenizer.ggml.tokens"), ("problem", "kind", "There is no vocabulary: this is")),
        (at("tokenizer.ggml.tokens", [1, 2]), ("problem", "kind", "There is no vocabulary: this")),
        (at("tokenizer.ggml.model"), ("problem", "kind", "There is no vocabulary: this is")),
        (
            at("llama.attention.causal", False),
            ("problem", "kind", "llama reads text and writes none: it is for embeddings."),
        ),
    ],
)  # fmt: skip
def test_faults_of_metadata_are_found(
    change: Change, expected: tuple[str, str, str] | None, tmp_path: Path
) -> None:
    keys = good_keys()
    change(keys)
    path = write(tmp_path / "tiny.gguf", keys)
    found = wrong(path)
    if expected is None:
        assert found == []
        return
    ((level, check, text),) = found
    assert (level, check, text[: len(expected[2])]) == expected
    if "llama.cpp refuses" in text:
        with pytest.raises(ConversionError, match=r"cannot open tiny\.gguf"):
            check_opens([path])
    elif level == "note":
        check_opens([path])


def test_a_file_without_sampling_defaults_is_noted(tmp_path: Path) -> None:
    keys = {k: v for k, v in good_keys().items() if not k.startswith("general.sampling.")}
    (found,) = wrong(write(tmp_path / "tiny.gguf", keys))
    assert found[:2] == ("note", "sampling")


def test_a_template_does_not_help_where_there_is_no_chatml(tmp_path: Path) -> None:
    keys = good_keys() | {"tokenizer.ggml.tokens": list("stuvwxyz"), "tokenizer.chat_template": "x"}
    found = {f.check: f.remedy for f in findings(write(tmp_path / "a b.gguf", keys))}
    assert found["chatml"] == "Take a model that was trained with these tokens."
    assert found["template"] == ""
    keys["tokenizer.ggml.tokens"] = TOKENS
    path = write(tmp_path / "a b.gguf", keys)
    remedies = {f.check: f.remedy for f in findings(path)}
    assert remedies["template"] == f"relay-gguf template '{path}' --write"
