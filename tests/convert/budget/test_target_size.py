"""`convert --target-size`: files of the size that is asked for, the types of which are measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import converted, request, tensors_of
from outlines import OUTLINES, importance, write_imatrix, write_outline

from relay_gguf.cli.app import main
from relay_gguf.convert.arch.weights import GgufWeights, Tensor
from relay_gguf.convert.budget.candidates import OUTER, bits_of, candidates
from relay_gguf.convert.budget.damage import measure, sampled
from relay_gguf.convert.budget.size_target import SizeTarget, size_target
from relay_gguf.convert.job import ConversionJob, prepare
from relay_gguf.convert.publish.folder import write_folder
from relay_gguf.convert.quantize.ftypes import Type
from relay_gguf.convert.quantize.ggml import decode, encode
from relay_gguf.convert.quantize.overrides import type_overrides
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.gguf_model import read_gguf

DENSE, ODD = OUTLINES["eight heads for one"], OUTLINES["odd rows"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_outline(tmp_path_factory.mktemp("dense") / "Dense.gguf", DENSE)


@pytest.fixture(scope="module")
def imatrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_imatrix(tmp_path_factory.mktemp("dense") / "noise.imatrix", DENSE)


def planned(model: Path, target: SizeTarget, **options: Any) -> ConversionJob:
    wanted = request(model, size_target=target, verify=False, template="keep", **options)
    return prepare(wanted, n_threads=1)


SIZES: dict[str, int | None] = {
    "7GB": 7 * 10**9,
    "6.5g": 6_500_000_000,
    "700 MB": 700 * 10**6,
    "12345": 12345,
    "2GiB": 2 << 30,
    "": None,
    "0": None,
    "-7GB": None,
    "7TB": None,
    "7,5GB": None,
    "٧GB": None,
    "1e9": None,
    "9" * 400: None,
}


def test_sizes_are_read_as_people_write_them() -> None:
    for text, wanted in SIZES.items():
        if wanted is not None:
            assert size_target(text, None) == SizeTarget(n_bytes=wanted), text
            continue
        with pytest.raises(ConversionError, match="should be like 7GB"):
            size_target(text, None)
    assert size_target(None, None) is None
    assert size_target(None, 4.5) == SizeTarget(bits=4.5)
    for bits in (0.0, -1.0, 33.0, float("nan"), float("inf")):
        with pytest.raises(ConversionError, match=r"should be like 4\.5"):
            size_target(None, bits)
    with pytest.raises(ConversionError, match="give one"):
        size_target("7GB", 4.5)


@pytest.mark.parametrize("bits", [8.1, 8.9, 9.8])
def test_a_file_is_no_larger_than_asked_and_hardly_smaller(bits: float, model: Path) -> None:
    job = planned(model, SizeTarget(bits=bits))
    (target,), chosen = job.targets, job.allocation
    assert chosen is not None
    assert chosen.limit - 100 < target.size <= chosen.limit
    again = planned(model, SizeTarget(n_bytes=target.size))
    assert again.targets[0].size == target.size
    assert chosen.predicted <= 1.2 * chosen.bound  # of few tensors
    assert f"{chosen.standard.ftype}-{chosen.bits:.2f}bpw" == target.ftype == chosen.label
    assert target.files[0].name == f"Dense-{target.ftype}.gguf"


def test_at_a_standard_files_size_less_is_damaged(model: Path, imatrix: Path) -> None:
    for given in (None, imatrix):
        wanted = request(model, "Q4_K_M", imatrix=given, verify=False, template="keep")
        limit = prepare(wanted).targets[0].size
        chosen = planned(model, SizeTarget(n_bytes=limit), imatrix=given).allocation
        assert chosen is not None
        assert (chosen.standard.ftype, chosen.standard_bytes) == ("Q4_K_M", limit)
        assert chosen.predicted < chosen.standard_damage


def test_a_file_has_the_types_that_were_planned_and_says_so(model: Path, tmp_path: Path) -> None:
    wanted = request(model, "Q8_0", size_target=SizeTarget(bits=8.4), verify=False, template="keep")
    target = prepare(wanted).targets[1]
    files = converted(wanted, tmp_path / "out")
    (path,) = files[target.ftype]
    assert path.stat().st_size == target.size
    found = {name: kind for name, (_, kind, _) in tensors_of(path).items()}
    assert found == {name: kind.name for name, kind in target.types.items()}
    report = json.loads(path.with_suffix(".report.json").read_text("utf-8"))
    said = report["target"]
    assert said["asked"] == "--target-bpw 8.4"
    assert said["predicted"] == pytest.approx(sum(said["damage"].values()), rel=1e-4)
    assert 0 < said["least_possible"] <= said["predicted"]
    assert read_gguf(path).ftype == said["standard"]["type"]
    write_folder(tmp_path / "out")
    assert f"| {target.ftype} |" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_shards_and_their_headers_are_within_the_size(model: Path) -> None:
    job = planned(model, SizeTarget(bits=8.9), max_bytes=1000)
    (target,), chosen = job.targets, job.allocation
    assert chosen is not None
    assert len(target.files) > 3
    assert target.size <= chosen.limit


def test_types_that_are_asked_for_stay(model: Path) -> None:
    overrides = type_overrides(["blk.1.ffn_down=Q8_0"], "Q6_K", None)
    (target,) = planned(model, SizeTarget(bits=8.4), overrides=overrides).targets
    assert target.types["blk.1.ffn_down.weight"] is Type.Q8_0
    assert target.types["token_embd.weight"] is Type.Q6_K


def test_rows_of_other_lengths_have_types_with_blocks_of_32(tmp_path: Path) -> None:
    model = write_outline(tmp_path / "Odd.gguf", ODD)
    (target,) = planned(model, SizeTarget(bits=10)).targets
    kinds = {kind for name, kind in target.types.items() if "norm" not in name}
    assert kinds <= {Type.Q8_0, Type.Q5_1, Type.Q5_0, Type.Q4_1, Type.IQ4_NL}


def test_a_size_that_cannot_be_names_the_smallest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = write_outline(tmp_path / "Odd.gguf", ODD)
    given = ["--target-bpw", "1", "--template", "keep", "-o", str(tmp_path / "out"), "--dry-run"]
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(model), *given])
    assert ended.value.code == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "--target-bpw 1 is below the smallest file" in said
    least = int(said.partition("of this model: ")[2].partition(" bytes")[0].replace(",", ""))
    assert planned(model, SizeTarget(n_bytes=least)).targets[0].size == least
    with pytest.raises(ConversionError, match=f"{least:,} bytes"):
        planned(model, SizeTarget(n_bytes=least - 1))


def test_without_an_imatrix_no_type_needs_one(model: Path) -> None:
    tensors = [t for t in GgufWeights(model).tensors if len(t.shape) > 1]
    standard = dict.fromkeys((t.name for t in tensors), Type.Q4_K)
    for matrix in (None, importance(DENSE)):
        few = candidates(tensors, standard, bits=2.5, importance=matrix, fixed={})
        weighed = {name for name, kinds in few.items() if Type.IQ2_XXS in kinds}
        assert weighed == set(matrix or ())
        many = candidates(tensors, standard, bits=4.5, importance=matrix, fixed={})
        assert {min(map(bits_of, many[name])) for name in OUTER[:1]} == {4.25}
        assert Type.IQ3_S not in many["blk.0.attn_q.weight"]


def test_an_error_is_that_of_the_rows_as_they_are_encoded(model: Path) -> None:
    weights = GgufWeights(model)
    tensor = next(t for t in weights.tensors if t.name == "blk.0.ffn_down.weight")
    rows = weights.open(tensor)(0, tensor.shape[0]).rows
    h = importance(DENSE)[tensor.name]
    for given in (None, h):
        matrix = None if given is None else {tensor.name: given}
        kinds = {tensor.name: (Type.Q4_K, Type.Q8_0)}
        (found,) = measure(weights, [tensor], kinds, n_threads=1, importance=matrix)
        for kind, error in found[1].items():
            back = decode(kind, encode(kind, rows, given), tensor.columns)
            factor = np.ones_like(h) if given is None else h
            wanted = (factor * (back - rows) ** 2).sum() / (factor * rows**2).sum()
            assert error == pytest.approx(wanted, rel=1e-4)


def test_the_sample_is_whole_heads_spread_over_the_tensor() -> None:
    assert sampled(Tensor("t", (3, 256))) == [(0, 3)]
    runs = sampled(Tensor("t", (1000, 5120)))
    assert len(runs) == 7
    assert all(stop - start == 8 and start % 8 == 0 for start, stop in runs)
    assert runs[0][0] < 100
    assert runs[-1][0] > 900
    heads = sampled(Tensor("t", (4096, 5120), together=128))
    assert all(stop - start == 128 and start % 128 == 0 for start, stop in heads)
    assert sampled(Tensor("t", (8, 16, 256))) == [(0, 1), (4, 5)]
