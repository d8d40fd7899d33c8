"""Modelfiles, read back by the rules of Ollama's parser."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from modelfile_command import NAME, run
from small_files import gguf

from relay_gguf.apps.ollama import check_name, default_name, modelfile
from relay_gguf.errors import ModelError, SettingsError, StoreError
from relay_gguf.gguf_file.header import Metadata, Value, ValueType, read_header

TOKENS = Value(["<|im_start|>", "<|im_end|>", "hi"], ValueType.ARRAY, ValueType.STRING)
ENDS: Metadata = {
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.eos_token_id": Value(1, ValueType.UINT32),
}


def parsed(text: str) -> list[tuple[str, str]]:
    """Instructions and values: a value goes on to the end of its line, and may be in quotes."""
    found = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        word, _, value = line.partition(" ")
        if word == "PARAMETER":
            word, _, value = value.partition(" ")
        value = value.strip()
        if value.startswith('"'):
            assert value.endswith('"')
            value = value[1:-1]
        found.append((word, value))
    return found


def options(file: Path) -> dict[str, str]:
    return dict(parsed(modelfile(file, read_header(file).metadata, "x")))


# What it says


def test_a_modelfile_is_this_text(tmp_path: Path) -> None:
    file = gguf(tmp_path / NAME, keys=ENDS)
    assert run(file) == (
        "# Relay for Ollama, by relay-gguf. Needs Ollama 0.30 or newer.\n"
        "#   ollama create relay-smollm2-135m:q4_k_m -f Modelfile\n"
        "#   ollama run relay-smollm2-135m:q4_k_m\n"
        "# There is no TEMPLATE here, so that the one in the file is used.\n"
        f"FROM {file}\n"
        "PARAMETER temperature 0.3\n"
        "PARAMETER top_k 40\n"
        "PARAMETER top_p 0.95\n"
        "PARAMETER min_p 0.05\n"
        "PARAMETER repeat_penalty 1.1\n"
        "PARAMETER repeat_last_n 4096\n"
        "PARAMETER num_predict 128\n"
        "PARAMETER num_ctx 4096\n",
        "",
    )


def sampling(name: str, value: float, kind: ValueType = ValueType.FLOAT32) -> Metadata:
    return {f"general.sampling.{name}": Value(value, kind)}


@pytest.mark.parametrize(
    ("keys", "option", "value"),
    [
        (sampling("temp", 0.7), "temperature", "0.7"),
        (sampling("temp", 0.0), "temperature", "0"),
        (sampling("top_k", 100, ValueType.INT32), "top_k", "100"),
        (sampling("top_k", 20.0), "top_k", "20"),
        (sampling("top_p", 0.9), "top_p", "0.9"),
        (sampling("min_p", 0.1), "min_p", "0.1"),
        (sampling("penalty_repeat", 1.05), "repeat_penalty", "1.05"),
        (sampling("penalty_last_n", 12_345_678, ValueType.INT32), "repeat_last_n", "12345678"),
        (sampling("penalty_last_n", -1, ValueType.INT32), "repeat_last_n", "4096"),
        (sampling("temp", math.nan), "temperature", "0.3"),
        (sampling("temp", math.inf), "temperature", "0.3"),
        ({"general.sampling.temp": Value("hot", ValueType.STRING)}, "temperature", "0.3"),
        ({"llama.context_length": Value(131072, ValueType.UINT32)}, "num_ctx", "4096"),
        ({"llama.context_length": Value(2048, ValueType.UINT32)}, "num_ctx", "2048"),
        ({"llama.context_length": Value(0, ValueType.UINT32)}, "num_ctx", "4096"),
        ({"llama.context_length": Value("long", ValueType.STRING)}, "num_ctx", "4096"),
    ],
)
def test_values_of_the_file_precede_the_defaults(
    tmp_path: Path, keys: Metadata, option: str, value: str
) -> None:
    assert options(gguf(tmp_path / NAME, keys=keys))[option] == value


@pytest.mark.parametrize(
    ("keys", "needed"),
    [
        ({}, True),
        (ENDS, False),
        ({**ENDS, "tokenizer.ggml.eos_token_id": Value(2, ValueType.UINT32)}, True),
        ({**ENDS, "tokenizer.ggml.eos_token_id": Value(9, ValueType.UINT32)}, True),
        (
            {
                **ENDS,
                "tokenizer.ggml.eos_token_id": Value(2, ValueType.UINT32),
                "tokenizer.ggml.eot_token_id": Value(1, ValueType.UINT32),
            },
            False,
        ),
    ],
)
def test_a_stop_string_only_where_no_token_ends_a_turn(
    tmp_path: Path, keys: Metadata, needed: bool
) -> None:
    found = options(gguf(tmp_path / NAME, keys=keys))
    assert ("stop" in found) == needed
    assert found.get("stop", "<|im_end|>") == "<|im_end|>"


# Paths


@pytest.mark.parametrize("name", ["a b.gguf", 'a "b" c.gguf', "'a'.gguf", "# a.gguf", "é.gguf"])
def test_paths_may_have_blanks_and_quotes(tmp_path: Path, name: str) -> None:
    file = gguf(tmp_path / "my  models" / name)
    assert options(file)["FROM"] == str(file)


def test_a_path_that_ends_with_a_blank_is_quoted(tmp_path: Path) -> None:
    file = gguf(tmp_path / "model.gguf ")
    assert options(file)["FROM"] == str(file)


@pytest.mark.parametrize("name", ["a\u00a0b.gguf", "a\nb.gguf", "a\x1b[2J.gguf", "a\u202eb.gguf"])
def test_paths_with_characters_that_ollama_drops_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"Ollama cannot read the name .*Rename"):
        run(gguf(tmp_path / name))


def test_beside_the_model_its_name_is_enough(tmp_path: Path) -> None:
    file = gguf(tmp_path / "m" / NAME)
    run(file, "--out", tmp_path / "m" / "Modelfile")
    assert f"\nFROM ./{NAME}\n" in (tmp_path / "m" / "Modelfile").read_text()
    run(file, "--out", tmp_path / "Modelfile")
    assert f"\nFROM {file}\n" in (tmp_path / "Modelfile").read_text()


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = gguf(tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    assert f"\nFROM {file}\n" in run(NAME)[0]


# Files


def test_out_is_written_once(tmp_path: Path) -> None:
    file, out = gguf(tmp_path / NAME), tmp_path / "Modelfile"
    assert run(file, "--out", out)[0] == f"wrote   {out}\n"
    before = out.stat().st_mtime_ns, out.stat().st_ino
    assert run(file, "--out", out)[0] == f"there   {out}\n"
    assert (out.stat().st_mtime_ns, out.stat().st_ino) == before
    assert run(file, "--out", out, "--name", "other")[0] == f"wrote   {out}\n"
    assert "ollama run other\n" in out.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Modelfile", NAME]


def test_out_never_goes_over_another_file(tmp_path: Path) -> None:
    file = gguf(tmp_path / NAME)
    other = tmp_path / "Modelfile"
    other.write_text("FROM llama3\n")
    for out in (file, other):
        before = out.read_bytes()
        with pytest.raises(StoreError, match=r"is another file\. Name a new one"):
            run(file, "--out", out)
        assert out.read_bytes() == before
    for out in (tmp_path, tmp_path / "none" / "Modelfile"):
        with pytest.raises(StoreError, match="Cannot write"):
            run(file, "--out", out)


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"hello")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        run(tmp_path / "x.gguf")
    with pytest.raises(ModelError, match=r"There is no file .*none.gguf"):
        run(tmp_path / "none.gguf")


def test_a_split_model_is_refused(tmp_path: Path) -> None:
    count = {"split.count": Value(2, ValueType.UINT16)}
    for file in (gguf(tmp_path / "r-00001-of-00002.gguf"), gguf(tmp_path / NAME, keys=count)):
        with pytest.raises(ModelError, match=r"split model, which Ollama does not take.*--merge"):
            run(file)


@pytest.mark.parametrize("template", ["", "<|im_start|>assistant"])
def test_a_file_without_relays_template_is_told(tmp_path: Path, template: str) -> None:
    text, told = run(gguf(tmp_path / NAME, template=template))
    assert text.startswith("# Relay for Ollama")
    assert told.startswith(f"{NAME} does not have Relay's chat template: commands will not work")


# Names


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("relay-v0.1-Mistral-Nemo-12B-2407-Q4_K_M.gguf", "relay-v0.1-mistral-nemo-12b-2407:q4_k_m"),
        ("My Relay (2).gguf", "my-relay-2"),
        ("é.gguf", "relay"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct:q4_1"),
        (f"{'x' * 100}-Q8_0.gguf", f"{'x' * 80}:q8_0"),
    ],
)
def test_the_default_name_is_made_of_the_files_name(file: str, name: str) -> None:
    assert default_name(Path(file)) == name
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["relay", "relay:q4_k_m", "ann/relay", "host.org:80/ann/r:x", "_x"]
)
def test_names_that_ollama_takes_are_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["-f", "a b", "", "a\nb", "relay:", "/x", "é", "a;b", "x" * 81])
def test_names_that_ollama_refuses_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="it should be like relay or relay:q4_k_m"):
        check_name(name)
