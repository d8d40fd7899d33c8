"""An adapter merged into a GGUF file, against a merge into the folder that the file is of."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import Pair, converted, quantized, request, tensors_of
from gguf import GGUFReader
from gguf.quants import dequantize
from hf_models import TINY, write_adapter, write_mistral, write_smollm2
from hf_tokenizers import add_tokens, copy_tokenizer
from thorough import cases

from relay_gguf.convert.arch.gguf_base import GgufBase
from relay_gguf.convert.arch.weights import GgufWeights
from relay_gguf.convert.job import prepare
from relay_gguf.convert.read.checkpoint import open_folder
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.gguf_file.header import read_header

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
BASES: dict[str, dict[str, Any]] = {
    "F32": {"dtype": "F32"},
    "F16": {"dtype": "F16"},
    "BF16": {"dtype": "BF16"},
    "tied, biases": {"dtype": "F32", "tied": True, "bias": True, "arch": "LlamaForCausalLM"},
    "own frequencies": {"dtype": "F32", "rope_scaling": LLAMA3, "arch": "LlamaForCausalLM"},
}


@pytest.fixture(scope="module")
def make(chatml: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """A folder with its adapter, and the file made of it, by the name of the case."""
    made: dict[str, Pair] = {}

    def pair(name: str) -> Pair:
        if name not in made:
            root = tmp_path_factory.mktemp("base")
            base = write_mistral(root / "Tiny-Base", chatml, TINY, **BASES[name])
            ftype = BASES[name]["dtype"]
            converted(request(base, ftype), root)
            made[name] = Pair(base, write_adapter(root / "lora", base))
        return made[name]

    return pair


def file_of(pair: Pair) -> Path:
    """The file beside a base's folder."""
    (path,) = pair.base.parent.glob("*.gguf")
    return path


@pytest.mark.parametrize("merge_base", ["original", "nf4", "nf4-double"])
@pytest.mark.parametrize("name", cases(BASES, "BF16"))
def test_a_gguf_base_is_merged_as_its_folder_is(
    name: str, merge_base: str, make: Callable[[str], Pair], tmp_path: Path
) -> None:
    pair = make(name)
    options = {"adapter": pair.adapter, "merge_base": merge_base}
    types = ("F32", "Q8_0", "Q4_K_M")
    theirs = converted(request(pair.base, *types, **options), tmp_path / "folder")
    ours = converted(request(file_of(pair), *types, **options), tmp_path / "file")
    for ftype in types:
        (left,), (right,) = theirs[ftype], ours[ftype]
        assert tensors_of(left) == tensors_of(right)
        keys, expected = (dict(read_header(path).metadata) for path in (right, left))
        assert keys.pop("relay.source").value == "Tiny-Base-" + f"{BASES[name]['dtype']}.gguf"
        assert expected.pop("relay.source").value == "Tiny-Base"
        assert keys == expected


@pytest.mark.thorough
def test_a_real_gguf_base_takes_an_adapter(smollm2: Path, tmp_path: Path) -> None:
    """The first layers of SmolLM2, whose weights are BF16 in the folder, as training saw them."""
    base = write_smollm2(tmp_path / "SmolLM2", smollm2, n_layers=2)
    adapter = write_adapter(tmp_path / "lora", base)
    options = {"adapter": adapter, "merge_base": "nf4-double", "verify": False}
    ((path,),) = converted(request(base, "BF16", verify=False), tmp_path / "base").values()
    made = []
    for source in (base, path):
        wanted = request(source, "Q8_0", **options)
        ((merged,),) = converted(wanted, tmp_path / f"of-{source.suffix}").values()
        made.append(tensors_of(merged))
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["F16", "tied, biases"])
def test_any_rows_of_a_gguf_base_are_in_hugging_faces_order(
    name: str, make: Callable[[str], Pair]
) -> None:
    """Also such as begin and end within a head."""
    pair = make(name)
    folder, file = open_folder(pair.base), GgufBase(file_of(pair))
    assert set(folder.infos) == set(file.infos)
    for tensor, info in folder.infos.items():
        assert file.infos[tensor].shape == info.shape
        n_rows = info.shape[0]
        for start, stop in ((0, n_rows), (0, 1), (n_rows // 2 - 5, n_rows // 2 + 3)):
            ours = file.rows(tensor, start, stop)
            assert np.array_equal(ours, folder.rows(tensor, start, stop)), (tensor, start, stop)


# Quantized


@pytest.mark.parametrize("ftype", ["Q4_0", "Q8_0"])
def test_a_quantized_base_is_dequantized(
    ftype: str, make: Callable[[str], Pair], tmp_path: Path
) -> None:
    pair = make("F32")
    path = quantized(file_of(pair), tmp_path, ftype).rename(tmp_path / f"Tiny-Base.{ftype}.gguf")
    weights = GgufWeights(path, allow_requantize=True)
    values = {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(path).tensors}
    for tensor in weights.tensors:
        rows = weights.open(tensor)(0, tensor.shape[0]).rows
        assert np.array_equal(rows, values[tensor.name].reshape(tensor.shape)), tensor.name
    wanted = request(path, "F32", adapter=pair.adapter, allow_requantize=True)
    ((merged,),) = converted(wanted, tmp_path / "out").values()
    origin = read_gguf(merged).origin
    assert origin["base_type"] == ftype
    assert origin["source"] == path.name
    head = "blk.0.ffn_up.weight"
    lora = open_folder(pair.base).rows("model.layers.0.mlp.up_proj.weight")
    moved = np.frombuffer(tensors_of(merged)[head][2], np.float32).reshape(lora.shape)
    assert 0 < np.abs(moved - values[head].reshape(lora.shape)).max() < 0.05
    assert merged.name == "lora-F32.gguf"


def test_a_quantized_base_needs_allow_requantize(
    make: Callable[[str], Pair], tmp_path: Path
) -> None:
    pair = make("F32")
    path = quantized(file_of(pair), tmp_path, "Q4_0").rename(tmp_path / "tiny.gguf")
    for adapter in (pair.adapter, None):
        with pytest.raises(ConversionError, match="or give --allow-requantize"):
            prepare(request(path, "Q8_0", adapter=adapter))
        job = prepare(request(path, "Q8_0", adapter=adapter, allow_requantize=True))
        assert job.model.notes[0] == (
            "tiny.gguf is quantized (Q4_0): its errors are in the new files too."
        )


# Vocabularies


def test_an_adapter_may_have_the_tokenizer_of_its_base(
    make: Callable[[str], Pair], tmp_path: Path
) -> None:
    """As transformers saves it there; it proves the file then."""
    pair = make("F16")
    adapter = tmp_path / "lora"
    shutil.copytree(pair.adapter, adapter)
    copy_tokenizer(pair.base, adapter)
    assert prepare(request(file_of(pair), "Q8_0", adapter=pair.adapter)).model.probes == {}
    assert len(prepare(request(file_of(pair), "Q8_0", adapter=adapter)).model.probes) == 5


@pytest.mark.parametrize("grown", [False, True])
def test_another_vocabulary_is_refused(
    grown: bool, make: Callable[[str], Pair], tmp_path: Path
) -> None:
    pair = make("F16")
    adapter = tmp_path / "lora"
    if grown:
        write_adapter(adapter, pair.base, grow=["<|new|>"])
    else:  # the same number of tokens, one of them another
        shutil.copytree(pair.adapter, adapter)
        copy_tokenizer(pair.base, adapter)
        for path in adapter.glob("*token*.json"):
            path.write_text(path.read_text("utf-8").replace("<repo_name>", "<else>"), "utf-8")
    with pytest.raises(ConversionError, match=r"another vocabulary.* the base in safetensors"):
        prepare(request(file_of(pair), "Q8_0", adapter=adapter))


def test_an_adapter_with_more_tokens_than_the_file_is_refused(
    make: Callable[[str], Pair], tmp_path: Path
) -> None:
    """A tokenizer that grew without its matrices: of no use with any base."""
    pair = make("F16")
    adapter = tmp_path / "lora"
    shutil.copytree(pair.adapter, adapter)
    copy_tokenizer(pair.base, adapter)
    add_tokens(adapter, ["<|new|>"], special=True)
    with pytest.raises(ConversionError, match="must bring both matrices"):
        prepare(request(file_of(pair), "Q8_0", adapter=adapter))


@pytest.mark.parametrize("adapted", [False, True])
def test_a_split_file_is_a_base_as_the_whole_one_is(
    adapted: bool, make: Callable[[str], Pair], tmp_path: Path
) -> None:
    pair = make("F16")
    folder = tmp_path / "split"
    parts = converted(request(pair.base, "F16", max_bytes=50_000), folder)["F16"]
    assert len(parts) > 1
    adapter = pair.adapter if adapted else None
    found = []
    for base in (file_of(pair), parts[0], parts[-1]):
        out = tmp_path / f"out-{base.stem}"
        wanted = request(base, "Q8_0", adapter=adapter)
        assert prepare(wanted).targets[0].files[0].name.count("of") == 0
        (path,) = converted(wanted, out)["Q8_0"]
        assert not any(key.startswith("split.") for key in read_header(path).metadata)
        found.append(tensors_of(path))
    assert found[0] == found[1] == found[2]
    parts[1].unlink()
    with pytest.raises(ConversionError, match=f"lacks {parts[1].name}"):
        prepare(request(parts[0], "Q8_0"))
