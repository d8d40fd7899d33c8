"""What is said of a GGUF file: the whole of it once, and each fault; as llama.cpp takes them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from gguf import GGMLQuantizationType as Type
from tiny_gguf import TOKENS, good_keys, shard_keys, tensors, value, write
from typer.testing import CliRunner

from relay_gguf.cli.convert.publish import inspect as inspect_command
from relay_gguf.convert.inspect.finding import Finding, has_problem
from relay_gguf.convert.inspect.inspection import inspect
from relay_gguf.convert.inspect.overview import inspect_lines
from relay_gguf.convert.quantize.ggml import check_opens
from relay_gguf.convert.template import relay_template
from relay_gguf.display import size
from relay_gguf.errors import ConversionError, ModelError
from relay_gguf.fit.placement import LoadSettings
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.gguf_file.header import TensorInfo
from relay_gguf.gguf_file.values import entries, repo_of
from relay_gguf.llama.load import measure

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


def findings(path: Path) -> list[Finding]:
    return inspect(read_gguf(path))


def wrong(path: Path) -> list[tuple[str, str, str]]:
    """All that is not as it should be: level, check, text."""
    return [(f.level, f.check, f.text) for f in findings(path) if f.level != "ok"]


SOUND = """\
{path}
name          Tiny Relay
architecture  llama, 9,824 parameters
size          {size}, Q8_0, 31.39 bits per weight
tensors       11 F32 (39 KB), 1 Q8_0 (1 KB)
embedding     Q8_0, output F32
vocabulary    8 tokens, gpt2, default
memory        about 158 MB with 4096 tokens of context: weights 39 KB, cache 263 KB, compute 157 MB
sampling      temperature 0.3, top-k 40, repetition penalty 1.1, penalty window 4096, \
order penalties;temperature;top_k;top_p;min_p
license       cc-by-nc-4.0
author        Nobody
base model    https://huggingface.co/o/tiny
languages     en, de
made by       relay-gguf 0.1.0
merged        o/tiny-relay into o/tiny (nf4-double)

ok       The file is whole: 12 tensors.
ok       8 tokens, none of them twice.
ok       <|im_start|> (1) and <|im_end|> (2) are control tokens.
ok       A reply ends with <|im_end|>.
ok       Prompts begin with <s>.
ok       The chat template is Relay's: roles and commands are right in every app.
ok       The context is 131,072 tokens.
ok       The sampling defaults are sound.

Nothing is wrong."""


def test_a_sound_file_has_no_finding_but_ok(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny-Q8_0.gguf")
    facts = read_gguf(path)
    assert "\n".join(inspect_lines(facts, inspect(facts))) == SOUND.format(
        path=path, size=size(path.stat().st_size)
    )


DEMO = """\
name          Smollm2 135M 8k Lc100K Mix1 Ep2
architecture  llama, 134.5 million parameters
size          98 MB, Q4_1, 5.74 bits per weight
tensors       210 Q4_1 (66 MB), 1 Q8_0 (30 MB), 61 F32 (141 KB)
embedding     Q8_0, output the same
vocabulary    49,152 tokens, gpt2, smollm
memory        about 348 MB with 4096 tokens of context: weights 97 MB, cache 94 MB, compute 157 MB
license       apache-2.0
languages     en

ok       The file is whole: 272 tensors.
ok       49,152 tokens, none of them twice.
ok       <|im_start|> (1) and <|im_end|> (2) are control tokens.
ok       A reply ends with <|im_end|>.
ok       Prompts begin without BOS.
problem  The chat template is ChatML for assistants: wrong roles, no commands.
         > relay-gguf template {path} --write
ok       The context is 8,192 tokens.
note     There are no sampling defaults: apps take theirs, mostly a temperature of 0.8.
         > Set a temperature of 0.3 in the app.

1 problem, 1 note."""


def test_the_demo_model_is_described(smollm2: Path) -> None:
    facts = read_gguf(smollm2)
    lines = list(inspect_lines(facts, inspect(facts)))
    assert lines[0] == str(smollm2)
    assert "\n".join(lines[1:]) == DEMO.format(path=smollm2)


def test_memory_is_what_llama_cpp_takes(smollm2: Path) -> None:
    need, measured = read_gguf(smollm2).memory(), measure(smollm2, LoadSettings(0, 4096))
    assert need is not None
    assert measured is not None
    assert need.weights == measured.weights
    assert need.kv == pytest.approx(measured.kv, rel=0.01)
    assert sum(measured.compute.values()) <= need.compute


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


# The tensors


def moved(index: int) -> list[TensorInfo]:
    """Tensors with a hole between them."""
    infos = tensors()
    return [
        replace(info, offset=info.offset + 32) if number >= index else info
        for number, info in enumerate(infos)
    ]


@pytest.mark.parametrize(
    ("infos", "lacking", "text"),
    [
        (tensors(), 1, "tiny.gguf is truncated: it has {has} bytes of {needs}."),
        (tensors(), 30_000, "tiny.gguf is truncated: it has {has} bytes of {needs}."),
        (
            moved(3),
            0,
            "tiny.gguf: blk.0.attn_norm.weight does not begin where the tensor before it ends: "
            "llama.cpp refuses the file.",
        ),
    ],
)
def test_a_truncated_file_is_found(
    infos: list[TensorInfo], lacking: int, text: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "tiny.gguf", infos=infos, lacking=lacking)
    has = path.stat().st_size
    expected = text.format(has=f"{has:,}", needs=f"{has + lacking:,}")
    assert wrong(path) == [("problem", "file", expected)]
    with pytest.raises(ConversionError, match=r"cannot open tiny\.gguf"):
        check_opens([path])


def test_more_bytes_than_tensors_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", lacking=-64)
    assert wrong(path) == []
    check_opens([path])


def test_an_unknown_type_of_tensor_is_noted(tmp_path: Path) -> None:
    infos = tensors()
    infos[4] = replace(infos[4], ggml_type=999)
    path = write(tmp_path / "tiny.gguf", infos=infos)
    what = "blk.0.attn_q.weight is of type 999, which relay-gguf does not know."
    assert wrong(path) == [("note", "file", f"{what} Whether the file is whole was not checked.")]
    assert "1 type 999 (0 KB)" in "\n".join(inspect_lines(read_gguf(path), []))


@pytest.mark.parametrize(
    ("embedding", "output", "expected"),
    [
        (Type.Q4_0, None, []),
        (Type.Q8_0, Type.F16, []),
        (Type.IQ4_NL, Type.Q8_0, []),
        (Type.TQ1_0, Type.TQ2_0, ["The embedding is TQ1_0, 1.7", "The output is TQ2_0, 2.1 bits"]),
    ],
)
def test_few_bits_for_tokens_are_noted(
    embedding: Type, output: Type | None, expected: list[str], tmp_path: Path
) -> None:
    infos = tensors(output, embedding)
    all_found = wrong(write(tmp_path / "tiny.gguf", infos=infos))
    found = [
        finding for finding in all_found if finding[1] != "tensors"
    ]  # whose rows are too short
    assert [(level, check) for level, check, _ in found] == [("note", "types")] * len(expected)
    assert [text[: len(t)] for (*_, text), t in zip(found, expected, strict=True)] == expected


def test_a_vocabulary_without_tensors_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "vocab.gguf", infos=[])
    what = "There is a vocabulary and no tensor: this was made to test tokenizers."
    assert wrong(path) == [("problem", "kind", what)]


def test_a_file_of_24_gigabytes_takes_a_moment(tmp_path: Path) -> None:
    keys = good_keys() | {
        "tokenizer.ggml.tokens": [*TOKENS, *(f"t{n}" for n in range(131064))],
        "tokenizer.ggml.token_type": [3, 3, 3, *[1] * 131069],
        "tokenizer.ggml.merges": [f"t{n} u" for n in range(200_000)],
    }
    rows = 24_000_000_000 // (2 * 131072)
    infos = [TensorInfo("token_embd.weight", (131072, rows), int(Type.F16), 0)]
    path = write(tmp_path / "huge.gguf", keys, infos)  # a hole takes no room on the disk
    assert read_gguf(path).size > 24_000_000_000
    assert {check for _, check, _ in wrong(path)} == {"tensors"}  # the others are not there


# Parts


def write_parts(folder: Path, names: Mapping[int, str] | None = None) -> list[Path]:
    """A file in three parts."""
    infos, paths = tensors(), []
    for number in range(3):
        some = infos[4 * number : 4 * number + 4]
        some = [replace(info, offset=info.offset - some[0].offset) for info in some]
        split = shard_keys(number, 3, 12)
        name = (names or {}).get(number, f"tiny-{number + 1:05d}-of-00003.gguf")
        paths.append(write(folder / name, (good_keys() if number == 0 else {}) | split, some))
    return paths


def test_a_split_model_is_described_whole(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    assert wrong(paths[0]) == []
    assert findings(paths[0])[0].text == "The file is whole: 3 shards with 12 tensors."
    facts = read_gguf(paths[0])
    assert facts.size == sum(path.stat().st_size for path in paths)
    lines = "\n".join(inspect_lines(facts, []))
    assert f"size          {size(facts.size)}, 3 shards, Q8_0" in lines
    with pytest.raises(
        ModelError, match=r"is shard 2 of 3\. The first shard says .* name .*00001-of"
    ):
        read_gguf(paths[1])


def test_missing_shards_are_found(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    paths[2].unlink()
    text = "1 of 3 shards are missing: tiny-00003-of-00003.gguf."
    assert wrong(paths[0]) == [("problem", "file", text)]
    (tmp_path / "other").mkdir()
    renamed = write_parts(tmp_path / "other", {0: "tiny.gguf"})
    text = "It is shard 1 of 3 and not named so: llama.cpp does not find the others."
    assert wrong(renamed[0]) == [("problem", "file", text)]


def test_a_truncated_or_foreign_shard_is_found(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    size = paths[1].stat().st_size
    with paths[1].open("r+b") as file:
        file.truncate(size - 5)
    text = f"tiny-00002-of-00003.gguf is truncated: it has {size - 5:,} bytes of {size:,}."
    assert wrong(paths[0]) == [("problem", "file", text)]
    write(paths[1], shard_keys(1, 3, 12), tensors()[:1])
    text = "The shards have 9 tensors and should have 12."
    assert wrong(paths[0]) == [("problem", "file", text)]


# Files that are none


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"There is no file .*x\.gguf\. Check the path\."),
        (b"", r"x\.gguf is not a GGUF file"),
        (b"GGU", r"x\.gguf is not a GGUF file"),
        (b"PK\x03\x04 zip", r"x\.gguf is not a GGUF file"),
        (b"GGUF", r"x\.gguf is damaged: its header"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, r"x\.gguf is damaged: its header"),
    ],
)
def test_a_file_that_is_not_a_model_is_refused(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_gguf(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder\. Name the \.gguf file in it\."):
        read_gguf(tmp_path)


def test_a_header_that_ends_early_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "tiny.gguf").read_bytes()
    for end in (5, 40, 300, 5000):
        (tmp_path / "cut.gguf").write_bytes(data[:end])
        with pytest.raises(ModelError, match=r"cut\.gguf is damaged: its header"):
            read_gguf(tmp_path / "cut.gguf")


@pytest.mark.parametrize("given", [["a"], "b", 0, 7])
def test_an_impossible_alignment_is_refused(given: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", good_keys() | {"general.alignment": given})
    with pytest.raises(ModelError, match=r"tiny\.gguf is damaged: its header"):
        read_gguf(path)


@pytest.mark.parametrize("name", [name for name in good_keys() if "template" not in name])
@pytest.mark.parametrize("given", ["text", 7, 4_000_000_000, True, 0.5, ["a"], [1, 2], []])
def test_values_of_any_kind_do_no_harm(name: str, given: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", good_keys() | {name: given})
    facts = read_gguf(path)
    found = inspect(facts)
    assert list(inspect_lines(facts, found))
    facts.memory(1 << 40)


# Other models


def other_keys(**changes: Any) -> dict[str, Any]:
    """The keys of an architecture that is not llama."""
    keys = {name.replace("llama.", "gemma3."): item for name, item in good_keys().items()}
    return keys | {"general.architecture": "gemma3"} | changes


def test_another_architecture_is_described_too(tmp_path: Path) -> None:
    path = write(tmp_path / "g.gguf", other_keys())
    assert wrong(path) == []
    assert "architecture  gemma3, 9,824 parameters" in list(inspect_lines(read_gguf(path), []))


@pytest.mark.parametrize(
    ("changes", "per_token"),
    [
        ({}, 2 * 32),
        ({"gemma3.attention.key_length": 64, "gemma3.attention.value_length": 48}, 2 * 112),
        ({"gemma3.block_count": 3}, 3 * 2 * 32),
        ({"gemma3.block_count": 3, "gemma3.attention.head_count_kv": [1, 0, 2]}, 3 * 2 * 32),
        ({"gemma3.attention.head_count": [2, 4]}, 2 * 16),
        ({"gemma3.attention.head_count": 0}, None),
        ({"gemma3.ssm.state_size": 16}, None),
        ({"gemma3.attention.kv_lora_rank": 16}, None),
        ({"gemma3.block_count": "many"}, None),
    ],
)
def test_the_kv_cache_of_a_token_is_computed_from_the_metadata(
    changes: dict[str, Any], per_token: int, tmp_path: Path
) -> None:
    need = read_gguf(write(tmp_path / "g.gguf", other_keys(**changes))).memory(1000)
    assert (None if need is None else need.kv) == (per_token and 1000 * per_token)


def test_base_models_and_data_sets_are_listed() -> None:
    url = "https://huggingface.co/"
    given = {
        "general.dataset.count": 3,
        "general.dataset.0.name": "Chats",
        "general.dataset.0.repo_url": f"{url}datasets/o/chats",
        "general.dataset.1.repo_url": "https://example.org/x",
    }
    found = entries({name: value(item) for name, item in given.items()}, "dataset")
    assert [repo_of(entry) for entry in found] == ["o/chats", "", ""]
    assert found[0]["name"] == "Chats"
    assert repo_of({"repo_url": f"{url}o/model/"}) == "o/model"


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 KB"), (1, "1 KB"), (1_234_567, "1 MB"), (7_480_000_000, "7.48 GB")],
)
def test_large_numbers_are_shown_in_words(n_bytes: int, text: str) -> None:
    assert size(n_bytes) == text


# The command


APP = typer.Typer()
APP.command()(inspect_command)


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_strict_exits_with_1_on_a_problem(tmp_path: Path) -> None:
    good = write(tmp_path / "good.gguf")
    bad = write(tmp_path / "bad.gguf", lacking=1)
    noted = write(tmp_path / "noted.gguf", good_keys() | {"llama.context_length": 2048})
    assert [run(path, "--strict")[0] for path in (good, noted, bad)] == [0, 0, 1]
    assert [run(path)[0] for path in (good, noted, bad)] == [0, 0, 0]
    assert run(bad, "--strict")[1].endswith("\n1 problem.\n")
    with pytest.raises(ModelError, match="There is no file"):
        run(tmp_path / "none.gguf")


def test_the_json_has_the_same_facts_for_a_program(tmp_path: Path) -> None:
    keys = good_keys() | {"general.sampling.temp": math.inf, "general.name": "Evil\x1b[2J\udcff"}
    code, printed = run(write(tmp_path / "tiny.gguf", keys), "--json", "--strict")
    assert code == 1
    assert printed.isascii()
    found = json.loads(printed, parse_constant=None)
    assert "Infinity" not in printed
    assert found["name"] == keys["general.name"]
    assert found["tensors"]["Q8_0"] == {"count": 1, "bytes": 272}
    assert found["memory"] == {"weights": 38544, "cache": 262144, "work": 157286400}
    assert found["relay"]["adapter"] == "o/tiny-relay"
    assert found["base_models"][0]["name"] == "Tiny"
    assert found["template"] == "relay"
    assert found["ok"] is False
    assert [f["level"] for f in found["findings"]].count("problem") == 1


def test_a_terminal_obeys_nothing_in_a_file(tmp_path: Path) -> None:
    keys = good_keys() | {
        "general.name": "a\x1b]0;x\x07\nproblem  b",
        "general.license": "\u202egnp\x9b1m",
        "general.sampling.sequence": "\x1b[31m",
        "tokenizer.ggml.tokens": ["\x1b[1m", "\x1b[1m", *TOKENS[:6]],
    }
    _, printed = run(write(tmp_path / "tiny.gguf", keys))
    assert not set(printed) & set("\x1b\x07\x9b\u202e\r")
    assert "name          a^[]0;x^G problem b\n" in printed


def test_the_commands_load_nothing_heavy() -> None:
    heavy = "{'llama_cpp', 'numpy', 'gguf', 'yaml', 'huggingface_hub', 'rich', 'prompt_toolkit'}"
    code = f"import relay_gguf.cli.convert.publish, sys; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_problems_are_found() -> None:
    assert not has_problem([Finding("ok", "x", ""), Finding("note", "x", "")])
    assert has_problem([Finding("ok", "x", ""), Finding("problem", "x", "")])
