"""Every type, byte for byte what llama.cpp's quantizer makes of our own F32 file (live)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import llama_cpp as lib
import numpy as np
import pytest
from conversions import Pair, converted, quantized, request, tensors_of
from gguf import GGUFWriter
from hf_models import LINEARS, Shape, write_adapter, write_mistral
from numpy.typing import NDArray
from thorough import cases

from relay_gguf.convert.quantize.ftypes import FTYPES, LARGE, WITH_IMATRIX
from relay_gguf.convert.read import merge
from relay_gguf.gguf_file.header import Header, read_header

Floats = NDArray[np.float32]
ODD = Shape(96, 9, 3, 1, 32, 160)
"""Nothing divides by 256, half of it not by 64; nine layers, as some mixes change every eighth."""
TINY = Shape(80, 1, 5, 5, 16, 96)
"""Rows that not even 32 divides: what llama.cpp makes of them stays F16."""
SOURCES = ("F32", "F16", "BF16")
USUAL = tuple(
    ftype
    for ftype in FTYPES
    if ftype not in (*LARGE, *WITH_IMATRIX) and not ftype.startswith(("IQ3", "TQ", "MXFP4"))
)
"""The types that are made of whole models here; `test_mixtures.py` has all."""


@pytest.fixture(scope="module")
def odd(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A tied Llama of odd sizes, and an adapter of its attention."""
    root = tmp_path_factory.mktemp("odd")
    base = write_mistral(root / "odd", plain, ODD, arch="LlamaForCausalLM", dtype="F16", tied=True)
    return Pair(base, write_adapter(root / "odd-lora", base, modules=LINEARS[:4]))


@pytest.fixture(scope="module")
def tiny(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A tied Llama, smaller than ggml's blocks, with rotations like Llama 3.1's."""
    root = tmp_path_factory.mktemp("tiny")
    rope = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}
    base = write_mistral(root / "tiny", plain, TINY, dtype="F32", tied=True, rope_scaling=rope)
    return Pair(base, write_adapter(root / "tiny-lora", base))


Files = Mapping[str, Path]
"""Type → our file."""


def all_types(pair: Pair, out: Path) -> Files:
    made = converted(request(pair.base, *USUAL, adapter=pair.adapter), out)
    return {ftype: paths[0] for ftype, paths in made.items()}


@pytest.fixture(scope="module")
def files(
    pico_mistral: Pair, odd: Pair, tiny: Pair, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Files]:
    """All types of three models, each from one pass."""
    out = tmp_path_factory.mktemp("files")
    pairs = {"mistral": pico_mistral, "odd": odd, "tiny": tiny}
    return {name: all_types(pair, out / name) for name, pair in pairs.items()}


@pytest.mark.parametrize("model", cases(["mistral", "odd", "tiny"], "mistral"))
@pytest.mark.parametrize("ftype", USUAL)
def test_files_equal_those_of_llama_cpps_quantizer(
    files: Mapping[str, Files], model: str, ftype: str, tmp_path: Path
) -> None:
    ours = files[model]
    expected = quantized(ours["F32"], tmp_path, ftype)
    assert ours[ftype].read_bytes() == expected.read_bytes()


def test_types_that_rows_do_not_divide_by_fall_back(files: Mapping[str, Files]) -> None:
    found = {
        model: {kind for path in files[model].values() for _, kind, _ in tensors_of(path).values()}
        for model in ("odd", "tiny")
    }
    assert {"Q4_0", "Q5_0", "Q5_1", "Q8_0"} <= found["odd"]
    assert "F16" in {kind for _, kind, _ in tensors_of(files["tiny"]["Q4_K_M"]).values()}


# From a GGUF file


@pytest.mark.parametrize("source", cases(SOURCES, "F32"))
def test_a_gguf_file_can_be_the_source(
    files: Mapping[str, Files], source: str, tmp_path: Path
) -> None:
    path = files["mistral"][source]
    made = converted(request(path, "F32", "Q8_0", "Q4_K_M", "Q2_K"), tmp_path / "ours")
    for ftype, (ours,) in made.items():
        assert ours.name == f"pico-relay-{ftype}.gguf"
        assert ours.read_bytes() == quantized(path, tmp_path, ftype).read_bytes(), ftype


@pytest.mark.thorough
def test_a_gguf_file_of_another_program_can_be_the_source(pico: Path, tmp_path: Path) -> None:
    wanted = request(pico, "Q4_K_M", template="keep")
    ((ours,),) = converted(wanted, tmp_path / "ours").values()
    theirs = quantized(pico, tmp_path, "Q4_K_M")
    keys = dict(read_header(ours).metadata)
    assert str(keys.pop("general.quantized_by").value).startswith("relay-gguf ")
    assert list(keys.items()) == list(read_header(theirs).metadata.items())
    assert tensors_of(ours) == tensors_of(theirs)


# With an importance matrix


def importance(path: Path) -> dict[str, Floats]:
    """Weights for every matrix of a file but the embedding, as llama-imatrix has none for it."""
    rng = np.random.default_rng(5)
    return {
        name: rng.gamma(0.5, size=shape[-1]).astype(np.float32)
        for name, (shape, _, _) in tensors_of(path).items()
        if len(shape) == 2 and name != "token_embd.weight"
    }


def write_gguf_imatrix(path: Path, weights: Mapping[str, Floats]) -> None:
    """As IMatrixCollector::save_imatrix does (tools/imatrix/imatrix.cpp)."""
    writer = GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["chats.txt", "more.txt"])
    writer.add_uint32("imatrix.chunk_count", 3)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, values in sorted(weights.items()):
        writer.add_tensor(f"{name}.in_sum2", (values * np.float32(8)).reshape(1, -1))
        writer.add_tensor(f"{name}.counts", np.full((1, 1), 8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_dat_imatrix(path: Path, weights: Mapping[str, Floats]) -> None:
    """As IMatrixCollector::save_imatrix_legacy does."""

    def text(value: str) -> bytes:
        return struct.pack("<i", len(value.encode())) + value.encode()

    parts = [struct.pack("<i", len(weights))]
    for name, values in sorted(weights.items()):
        sums = (values * np.float32(4)).astype("<f4").tobytes()
        parts += [text(name), struct.pack("<ii", 4, values.size), sums]
    path.write_bytes(b"".join([*parts, struct.pack("<i", 3), text("chats.txt")]))


@pytest.mark.parametrize(
    ("write", "dataset"),
    [
        (write_gguf_imatrix, "chats.txt, more.txt"),
        pytest.param(write_dat_imatrix, "chats.txt", marks=pytest.mark.thorough),
    ],
)
def test_an_imatrix_changes_files_as_in_llama_cpp(
    write: Callable[[Path, Mapping[str, Floats]], None],
    dataset: str,
    files: Mapping[str, Files],
    pico_mistral: Pair,
    tmp_path: Path,
) -> None:
    source = files["mistral"]["F32"]
    weights = importance(source)
    write(tmp_path / "imatrix", weights)
    wanted = request(
        pico_mistral.base,
        *("Q4_K_M", "Q2_K", "IQ4_XS"),
        adapter=pico_mistral.adapter,
        imatrix=tmp_path / "imatrix",
    )
    for ftype, (ours,) in converted(wanted, tmp_path / "ours").items():
        theirs = tensors_of(quantized(source, tmp_path, ftype, weights))
        assert tensors_of(ours) == theirs, ftype
        assert theirs != tensors_of(files["mistral"][ftype])
        keys = read_header(ours).metadata
        said = {n: value.value for n, value in keys.items() if n.startswith("quantize.imatrix.")}
        assert said == {
            "quantize.imatrix.file": "imatrix",
            "quantize.imatrix.dataset": dataset,
            "quantize.imatrix.entries_count": len(weights),
            "quantize.imatrix.chunks_count": 3,
        }


# However it is cut


@pytest.mark.parametrize(
    ("slab_bytes", "n_threads"), cases([(7000, 3), (1, 1), (1 << 30, 2)], (7000, 3))
)
def test_neither_slabs_nor_threads_change_a_byte(
    slab_bytes: int,
    n_threads: int,
    files: Mapping[str, Files],
    pico_mistral: Pair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merge, "SLAB_BYTES", slab_bytes)
    few = ("F32", "Q4_K_M") if slab_bytes == 1 else ("F16", "Q8_0", "Q5_0", "Q4_K_M", "Q2_K")
    wanted = request(pico_mistral.base, *few, adapter=pico_mistral.adapter)
    for ftype, (path,) in converted(wanted, tmp_path, n_threads=n_threads).items():
        assert path.read_bytes() == files["mistral"][ftype].read_bytes(), ftype


def test_shards_are_those_of_llama_gguf_split(
    files: Mapping[str, Files], pico_mistral: Pair, tmp_path: Path
) -> None:
    whole = files["mistral"]["Q4_K_M"]
    wanted = request(pico_mistral.base, "Q4_K_M", adapter=pico_mistral.adapter, max_bytes=200_000)
    ((*parts,),) = converted(wanted, tmp_path).values()
    count = len(parts)
    assert count > 2
    assert [part.name for part in parts] == [
        f"pico-relay-Q4_K_M-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)
    ]
    heads = [read_header(part) for part in parts]
    tensors = tensors_of(whole)
    for number, (part, head) in enumerate(zip(parts, heads, strict=True)):
        assert len(head.tensors) == 1 or part.stat().st_size - head.size <= 200_000
        split = {n: value.value for n, value in head.metadata.items() if n.startswith("split.")}
        assert split == {
            "split.no": number,
            "split.count": count,
            "split.tensors.count": len(tensors),
        }
        assert set(head.metadata) == set(split) or number == 0
    keys = {n: value for n, value in heads[0].metadata.items() if not n.startswith("split.")}
    assert keys == read_header(whole).metadata
    assert [item for part in parts for item in tensors_of(part).items()] == list(tensors.items())
    assert n_parameters(parts[0]) == n_parameters(whole) == sum(map(size_of, heads))


def size_of(head: Header) -> int:
    return sum(int(np.prod(info.shape)) for info in head.tensors)


def n_parameters(path: Path) -> int:
    """How many llama.cpp finds."""
    model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
    assert model
    count: int = lib.llama_model_n_params(model)
    lib.llama_model_free(model)
    return count
