"""Models in 8 bits with scales: bitsandbytes' int8 and FP8."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conversions import converted, request, tensors_of
from hf_models import TINY, write_mistral
from hf_tokenizers import dump_json, load_json
from numpy.typing import NDArray
from safetensors.numpy import load_file

from relay_gguf.convert.read.checkpoint import Checkpoint
from relay_gguf.convert.read.scaled import E4M3
from relay_gguf.errors import ConversionError

Stored = tuple[str, NDArray[np.generic]]
"""The type of a tensor as safetensors names it, and its values or bytes."""


def write(path: Path, tensors: dict[str, Stored]) -> Path:
    """A safetensors file with types that NumPy does not have."""
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        content = array.tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_fp8_has_the_values_of_its_standard() -> None:
    """E4M3 of the Open Compute Project's OFP8 1.0, table 2."""
    known = {0x00: 0.0, 0x01: 2**-9, 0x07: 7 * 2**-9, 0x08: 2**-6, 0x38: 1.0, 0x7E: 448.0}
    for code, value in known.items():
        assert E4M3[code] == value
        assert E4M3[code | 0x80] == -value
    assert np.isnan(E4M3[[0x7F, 0xFF]]).all()
    assert np.isfinite(E4M3).sum() == 254


def test_int8_is_a_row_s_largest_value_in_127_parts(tmp_path: Path) -> None:
    codes = np.array([[127, -127, 0], [1, -64, 127]], np.int8)
    scales = np.array([0.5, 2.54], np.float32)
    file = {"x.weight": ("I8", codes), "x.SCB": ("F32", scales)}
    found = Checkpoint(
        [write(tmp_path / "a", file | {"x.weight_format": ("U8", np.array(0, np.uint8))})]
    )
    assert list(found.infos) == ["x.weight"]
    expected = codes * (scales[:, None] / 127)
    np.testing.assert_allclose(found.rows("x.weight"), expected, rtol=1e-6)
    assert np.array_equal(found.rows("x.weight", 1, 2), found.rows("x.weight")[1:])


@pytest.mark.parametrize("shape", [(), (1,), (200,), (200, 1), (2, 3)])
def test_fp8_is_scaled_by_tensor_row_or_block(shape: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 127, (200, 300), dtype=np.uint8)
    scales = rng.random(shape).astype(np.float32)
    name = "x.weight_scale_inv" if shape == (2, 3) else "x.weight_scale"
    found = Checkpoint(
        [write(tmp_path / "a", {"x.weight": ("F8_E4M3", codes), name: ("F32", scales)})]
    )
    each = np.broadcast_to(
        np.kron(scales, np.ones((128, 128), np.float32))[:200, :300]
        if shape == (2, 3)
        else scales.reshape(-1, 1),
        codes.shape,
    )
    expected = E4M3[codes] * each
    assert np.array_equal(found.rows("x.weight"), expected)
    assert np.array_equal(found.rows("x.weight", 120, 140), expected[120:140])


def test_scales_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    codes = np.zeros((200, 300), np.uint8)
    file = {"x.weight": ("F8_E4M3", codes), "x.weight_scale": ("F32", np.ones(7, np.float32))}
    with pytest.raises(ConversionError, match="its scales of"):
        Checkpoint([write(tmp_path / "a", file)])
    with pytest.raises(ConversionError, match="is stored as F8_E4M3"):
        Checkpoint([write(tmp_path / "b", {"x.weight": ("F8_E4M3", codes)})]).rows("x.weight")


def test_a_model_in_int8_is_converted_as_its_values(chatml: Path, tmp_path: Path) -> None:
    plain = write_mistral(tmp_path / "plain", chatml, TINY, dtype="F32")
    int8 = write_mistral(tmp_path / "int8", chatml, TINY, dtype="F32")
    stored: dict[str, Stored] = {}
    rounded: dict[str, Stored] = {}
    for name, values in load_file(plain / "model.safetensors").items():
        rounded[name] = stored[name] = ("F32", values)
        if name.endswith("_proj.weight"):
            scales = np.abs(values).max(axis=1)
            codes = np.rint(values / scales[:, None] * 127).astype(np.int8)
            stored[name] = ("I8", codes)
            stored[name.replace(".weight", ".SCB")] = ("F32", scales)
            factor = np.float32(7.874015718698502e-3)
            rounded[name] = ("F32", codes.astype(np.float32) * scales[:, None] * factor)
    write(int8 / "model.safetensors", stored)
    write(plain / "model.safetensors", rounded)
    quantization = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    config = load_json(int8 / "config.json")
    dump_json(int8 / "config.json", config | {"quantization_config": quantization})
    found = [
        tensors_of(
            converted(request(base, "Q8_0", name="m.gguf"), tmp_path / f"{base.name}-out")["Q8_0"][
                0
            ]
        )
        for base in (plain.rename(tmp_path / "p"), int8.rename(tmp_path / "i"))
    ]
    assert found[0] == found[1]
