"""Heads of GGUF files: written and read back, as the gguf package reads them, and damaged ones."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from hypothesis import example, given
from hypothesis import strategies as st

from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.header import TensorInfo, Value, ValueType, pack_header, read_header

SCALARS: dict[ValueType, st.SearchStrategy[Any]] = {
    ValueType.UINT8: st.integers(0, 2**8 - 1),
    ValueType.INT8: st.integers(-(2**7), 2**7 - 1),
    ValueType.UINT16: st.integers(0, 2**16 - 1),
    ValueType.INT16: st.integers(-(2**15), 2**15 - 1),
    ValueType.UINT32: st.integers(0, 2**32 - 1),
    ValueType.INT32: st.integers(-(2**31), 2**31 - 1),
    ValueType.FLOAT32: st.floats(width=32, allow_nan=False),
    ValueType.BOOL: st.booleans(),
    ValueType.STRING: st.text(max_size=20),
    ValueType.UINT64: st.integers(0, 2**64 - 1),
    ValueType.INT64: st.integers(-(2**63), 2**63 - 1),
    ValueType.FLOAT64: st.floats(allow_nan=False),
}
SIZES = st.integers(0, 2**64 - 1)


@st.composite
def values(draw: st.DrawFn) -> Value:
    kind = draw(st.sampled_from(list(SCALARS)))
    if draw(st.booleans()):
        return Value(draw(SCALARS[kind]), kind)
    return Value(draw(st.lists(SCALARS[kind], max_size=5)), ValueType.ARRAY, kind)


@st.composite
def infos(draw: st.DrawFn) -> TensorInfo:
    shape = tuple(draw(st.lists(SIZES, max_size=4)))
    return TensorInfo(
        draw(st.text(max_size=15)), shape, draw(st.integers(0, 2**32 - 1)), draw(SIZES)
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each example overwrites."""
    return tmp_path_factory.mktemp("head") / "head.gguf"


NAMES = st.text(max_size=20).filter(lambda name: name != "general.alignment")


@given(
    st.dictionaries(NAMES, values(), max_size=6),
    st.lists(infos(), max_size=4, unique_by=lambda info: info.name),
)
@example({}, [])
def test_a_header_is_read_as_it_was_written(
    path: Path, keys: Mapping[str, Value], tensors: list[TensorInfo]
) -> None:
    written = pack_header(keys, tensors)
    path.write_bytes(written + b"weights")
    head = read_header(path)
    assert dict(head.metadata) == dict(keys)
    assert list(head.metadata) == list(keys)
    assert list(head.tensors) == tensors
    assert head.size == len(written)
    assert head.size % 32 == 0
    assert pack_header(head.metadata, head.tensors) == written


def test_bytes_that_are_not_utf8_survive(path: Path) -> None:
    token = b"\xff\xc3".decode("utf-8", "surrogateescape")
    written = pack_header({"tokens": Value([token], ValueType.ARRAY, ValueType.STRING)}, [])
    assert b"\xff\xc3" in written
    path.write_bytes(written)
    assert read_header(path).metadata["tokens"].value == [token]


@pytest.fixture(scope="module")
def by_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key of every kind and tensors of several shapes, by the gguf package."""
    path = tmp_path_factory.mktemp("gguf") / "all.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 2**32 - 1)
    writer.add_int32("i32", -(2**31))
    writer.add_float32("f32", 0.1)
    writer.add_bool("yes", True)
    writer.add_bool("no", False)
    writer.add_string("text", "naïve 東京 \U0001f680")
    writer.add_uint64("u64", 2**64 - 1)
    writer.add_int64("i64", -(2**63))
    writer.add_float64("f64", 0.1)
    writer.add_array("texts", ["a", "", "Ġb"])
    writer.add_array("numbers", [1, -2, 3])
    writer.add_array("shares", [0.25, -1.5])
    writer.add_array("switches", [True, False])
    for shape in [(3,), (2, 32), (4, 2, 8), (1, 2, 3, 4)]:
        writer.add_tensor(f"t{len(shape)}", np.arange(prod(shape), dtype=np.float32).reshape(shape))
    writer.add_tensor("half", np.ones((2, 2), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("alignment", [32, 64])
def test_the_gguf_package_reads_the_same(by_gguf: Path, alignment: int, tmp_path: Path) -> None:
    path = by_gguf
    if alignment != 32:
        path = tmp_path / "aligned.gguf"
        writer = GGUFWriter(path, "llama")
        writer.add_custom_alignment(alignment)
        writer.add_tensor("t", np.ones((2, 3), np.float32))
        writer.add_tensor("u", np.ones((2, 3), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    head, reader = read_header(path), GGUFReader(path)
    fields = {n: f for n, f in reader.fields.items() if not n.startswith("GGUF.")}
    assert list(head.metadata) == list(fields)
    for name, field in fields.items():
        found = head.metadata[name]
        kinds = [found.kind] + ([] if found.item is None else [found.item])
        assert [int(kind) for kind in field.types] == kinds, name
        assert field.contents() == found.value, name
    assert [info.name for info in head.tensors] == [tensor.name for tensor in reader.tensors]
    for info, tensor in zip(head.tensors, reader.tensors, strict=True):
        assert info.shape == tuple(int(n) for n in reversed(tensor.shape))
        assert info.ggml_type == int(tensor.tensor_type)
        assert head.size + info.offset == tensor.data_offset


# Damaged files


def outcome(path: Path, content: bytes) -> str:
    """What comes of a file: nothing but a head or a `ModelError`, soon and in little memory."""
    path.write_bytes(content)
    began = perf_counter()
    tracemalloc.start()
    try:
        read_header(path)
        result = "read"
    except ModelError:
        result = "refused"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20
    assert perf_counter() - began < 5
    return result


SMALL = pack_header(
    {
        "general.architecture": Value("llama", ValueType.STRING),
        "general.alignment": Value(32, ValueType.UINT32),
        "a": Value([1, 2], ValueType.ARRAY, ValueType.INT32),
        "b": Value(["x", "yz"], ValueType.ARRAY, ValueType.STRING),
        "c": Value(0.5, ValueType.FLOAT64),
    },
    [TensorInfo("t", (2, 32), 0, 0), TensorInfo("u", (8,), 1, 256)],
)
EXTREMES = [(4, 8), (4, 9), (4, 2**31), (4, 2**32 - 1), (8, 2**32), (8, 2**62), (8, 2**64 - 1)]


def test_every_beginning_is_refused(path: Path) -> None:
    needed = next(n for n in range(len(SMALL), 0, -1) if SMALL[n - 1]) + 6
    assert all(outcome(path, SMALL[:end]) == "refused" for end in range(needed))
    assert outcome(path, SMALL) == "read"


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=4))
def test_flipped_bytes_do_no_harm(path: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray(SMALL)
    for at, value in flips:
        content[at] = value
    outcome(path, bytes(content))


@pytest.mark.thorough
def test_numbers_that_lead_astray_are_refused(path: Path) -> None:
    for at in range(4, len(SMALL) - 8):
        for size, number in EXTREMES:
            data = number.to_bytes(size, "little")
            outcome(path, SMALL[:at] + data + SMALL[at + size :])


@given(st.binary(max_size=200))
def test_noise_is_refused(path: Path, noise: bytes) -> None:
    assert outcome(path, noise) == "refused"
    outcome(path, SMALL[:8] + noise)


@pytest.mark.parametrize(
    "alignment",
    [
        Value(0, ValueType.UINT32),
        Value(-32, ValueType.INT32),
        Value(3, ValueType.UINT32),
        Value(24, ValueType.UINT32),
        Value(1 << 31, ValueType.UINT32),
        Value(32, ValueType.UINT64),
        Value("wide", ValueType.STRING),
        Value([32], ValueType.ARRAY, ValueType.UINT32),
        Value(float("nan"), ValueType.FLOAT32),
        Value(float("inf"), ValueType.FLOAT64),
    ],
    ids=[
        *("0", "negative", "odd", "no power of 2", "2 GB", "too long", "a text", "a list", "nan"),
        "infinite",
    ],
)
def test_an_impossible_alignment_is_refused(path: Path, alignment: Value) -> None:
    assert outcome(path, pack_header({"general.alignment": alignment}, [])) == "refused"


@pytest.mark.parametrize("alignment", [0, 24, 1 << 31])
def test_an_impossible_alignment_is_not_written(alignment: int) -> None:
    with pytest.raises(ValueError, match=f"alignment of {alignment} bytes"):
        pack_header({}, [], alignment)


def test_what_is_there_twice_is_refused(path: Path) -> None:
    key = {"general.name": Value("x", ValueType.STRING)}
    packed, info = pack_header(key, []), TensorInfo("a", (8,), 0, 0)
    length = len("general.name") + len("x") + 8 + 4 + 8
    twice = b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * packed[24 : 24 + length]
    long = pack_header({}, [replace(info, name="n" * 64)])
    for content in (twice, pack_header({}, [info, info]), long):
        assert outcome(path, content) == "refused"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a GGUF file"),
        (b"GGUF", "is damaged"),
        (b"GGML" + bytes(60), "is not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "is of GGUF version 1,"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is big-endian,"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "is damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "is damaged"),
    ],
)
def test_a_file_without_a_header_is_refused(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelError, match=says):
        read_header(path)
