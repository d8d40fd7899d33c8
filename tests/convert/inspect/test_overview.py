"""What is said of a whole GGUF file: a sound one, the demo model, other architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from findings_of_files import wrong
from tiny_gguf import good_keys, value, write

from relay_gguf.convert.inspect.inspection import inspect
from relay_gguf.convert.inspect.overview import inspect_lines
from relay_gguf.display import size
from relay_gguf.fit.placement import LoadSettings
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.gguf_file.values import entries, repo_of
from relay_gguf.llama.load import measure

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
