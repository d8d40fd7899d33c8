"""NF4, against what bitsandbytes computes (golden/convert/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relay_gguf.convert.read import nf4
from relay_gguf.convert.read.checkpoint import Checkpoint

GOLDEN = Path(__file__).parents[2] / "golden" / "convert" / "nf4"


def stored(name: str) -> Checkpoint:
    return Checkpoint([GOLDEN / f"{name}.safetensors"])


@pytest.mark.parametrize("kind", ["single", "double"])
@pytest.mark.parametrize("tensor", ["normal", "outliers"])
def test_a_4_bit_checkpoint_reads_as_its_matrices(kind: str, tensor: str) -> None:
    checkpoint, expected = stored(kind), stored(f"{kind}_dequantized")
    name = f"{tensor}.weight"
    assert set(checkpoint.infos) == {"normal.weight", "outliers.weight"}
    assert checkpoint.infos[name].dtype == "NF4"
    assert np.array_equal(checkpoint.rows(name), expected.rows(name))
    assert np.array_equal(checkpoint.rows(name, 3, 11), expected.rows(name, 3, 11))


@pytest.mark.parametrize("tensor", ["normal", "outliers"])
def test_the_round_trip_is_bitsandbytes_own(tensor: str) -> None:
    matrix = stored("matrices").rows(tensor)
    absmax = nf4.block_absmax(matrix)
    codes = nf4.codes_of(matrix, absmax)
    for kind, scales in (("single", absmax), ("double", nf4.round_trip_absmax(absmax))):
        expected = stored(f"{kind}_dequantized").rows(f"{tensor}.weight")
        state = nf4.QuantState(matrix.shape, nf4.BLOCK, "bfloat16", nf4.CODES, scales)
        assert np.array_equal(nf4.dequantize_rows(codes, state, 0, matrix.shape[0]), expected)


def test_scales_may_fill_several_nested_blocks() -> None:
    golden = stored("nested")
    back = nf4.round_trip_absmax(golden.rows("absmax"))
    assert np.array_equal(back, golden.rows("dequantized"))


def test_the_dynamic_map_is_bitsandbytes_own() -> None:
    stored_map = stored("double")._whole("normal.weight.nested_quant_map")
    assert np.array_equal(nf4.dynamic_map(), stored_map.view(np.float32))


def test_bfloat16_rounds_to_even() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, np.inf, -np.inf, 0.0], dtype=np.float32)
    assert nf4.to_bfloat16(values).tolist() == [1.0, 1.0, 1.015625, np.inf, -np.inf, 0.0]
