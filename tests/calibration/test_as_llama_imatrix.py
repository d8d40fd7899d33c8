"""Importance matrices, against llama-imatrix's (golden/imatrix) and against plain sums.

The golden files were made with `llama-imatrix -f letters.txt -c 32 -b 32 --no-ppl` of the vendored
llama.cpp on the models of `letters.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from letters import write_letters
from numpy.typing import NDArray

from relay_gguf.calibration.calibrate import Calibration, calibrate
from relay_gguf.calibration.calibration_text import read_calibration_text
from relay_gguf.convert.quantize.imatrix import read_imatrix
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.gguf_file.header import read_header
from relay_gguf.llama.activations.activation_reader import ActivationReader
from relay_gguf.llama.activations.collector import column_squares, expert_sums, matrix_sums

GOLDEN = Path(__file__).parents[1] / "golden/imatrix"
TEXT = GOLDEN / "letters.txt"


def made(model: Path, out: Path) -> Calibration:
    """Make an importance matrix of the golden text."""
    with ActivationReader(model, 32, n_threads=1) as reader:
        running = calibrate(reader, read_gguf(model), [read_calibration_text(TEXT)], out)
        while True:
            try:
                next(running)
            except StopIteration as end:
                found: Calibration = end.value
                return found


def tensors(path: Path) -> dict[str, NDArray[np.float64]]:
    return {t.name: np.array(t.data, np.float64).reshape(-1) for t in GGUFReader(path).tensors}


@pytest.mark.parametrize(("name", "n_experts"), [("dense", 0), ("experts", 4)])
def test_an_importance_matrix_is_llama_imatrixs(name: str, n_experts: int, tmp_path: Path) -> None:
    model = write_letters(tmp_path / "letters.gguf", n_experts=n_experts)
    found = made(model, tmp_path / "imatrix.gguf")
    ours, theirs = tmp_path / "imatrix.gguf", GOLDEN / f"{name}.gguf"
    size = read_header(theirs).size
    assert ours.read_bytes()[:size] == theirs.read_bytes()[:size]
    assert ours.stat().st_size == theirs.stat().st_size
    expected = tensors(theirs)
    for weight, values in tensors(ours).items():
        np.testing.assert_allclose(values, expected[weight], rtol=1e-4, err_msg=weight)
    assert (found.n_chunks, found.n_tokens) == (7, 224)
    assert (found.unseen, found.idle_experts, found.idle_columns) == ((), {}, {})
    assert found.n_weights == len(read_imatrix(ours).weights) == (16 if n_experts else 14)


def test_sums_are_those_of_each_row_and_matrix() -> None:
    rows = np.random.default_rng(1).standard_normal((2, 4, 16, 8)).astype(np.float32)
    found = matrix_sums(column_squares(rows), (1, 2), 16)
    expected = np.zeros((2, 8))
    for outer in range(2):
        for inner in range(4):
            for row in rows[outer, inner]:
                expected[inner % 2] += row.astype(np.float64) ** 2
    np.testing.assert_allclose(found.squares, expected, rtol=1e-6)
    assert found.counts.tolist() == [2 * 4 * 16 // 2]


@pytest.mark.parametrize("n_inputs", [1, 2])
def test_each_expert_has_the_sums_of_its_own_tokens(n_inputs: int) -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((20, n_inputs, 8)).astype(np.float32)
    ids = np.array([rng.permutation(5)[:2] for _ in range(20)], np.int32)
    ids[ids == 3] = 0  # nobody goes to the fourth
    found = expert_sums(rows, ids, 5)
    squares, counts = np.zeros((5, 8)), np.zeros(5, np.int64)
    for token in range(20):
        for place in range(2):
            squares[ids[token, place]] += rows[token, place % n_inputs].astype(np.float64) ** 2
            counts[ids[token, place]] += 1
    np.testing.assert_allclose(found.squares, squares, rtol=1e-6)
    assert found.counts.tolist() == counts.tolist()
    assert found.counts[3] == 0
