"""`convert --imatrix auto`: as three commands would do it, resumable, refused where useless."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import Pair, digests, request
from letters import letters, write_letters
from thorough import cases

from relay_gguf.calibration.calibration_text import CalibrationText
from relay_gguf.cli.app import main
from relay_gguf.cli.convert import own_imatrix as own_module
from relay_gguf.convert.job import prepare
from relay_gguf.convert.quantize.imatrix import Imatrix
from relay_gguf.convert.write.importance import fitting, notes_on
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import read_header
from relay_gguf.llama.inventory import this_machine

TEXT = letters(700)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_letters(tmp_path_factory.mktemp("letters") / "letters.gguf")


@pytest.fixture(autouse=True)
def small_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of a few chunks, and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_module, "our_texts", lambda: [CalibrationText("letters", TEXT)])
    monkeypatch.setattr(own_module, "N_CTX", 32)


def ran(*given: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in given])
    return int(ended.value.code or 0)


def auto(model: Path, out: str, *more: object) -> int:
    given = ("-q", "Q8_0", "-q", "Q4_0", "--imatrix", "auto", "--threads", 1, "--quiet")
    return ran("convert", model, "-o", out, *given, *more)


@pytest.fixture(scope="module")
def by_hand(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What three commands make."""
    out = tmp_path_factory.mktemp("by-hand")
    text = out.parent / "letters"
    text.write_text(TEXT)
    common = ("-o", out, "--threads", 1, "--quiet")
    matrix = out / "letters-imatrix.gguf"
    assert ran("convert", model, "-q", "Q8_0", *common) == 0
    given = ("--n-ctx", 32, "--data", text, "--threads", 1)
    assert ran("imatrix", out / "letters-Q8_0.gguf", "-o", matrix, *given) == 0
    assert ran("convert", model, "-q", "Q4_0", "--imatrix", matrix, *common) == 0
    return digests(out)


def test_the_files_are_those_of_three_commands(
    model: Path, by_hand: dict[str, str], tmp_path: Path
) -> None:
    assert auto(model, "out") == 0
    assert digests(tmp_path / "out") == by_hand
    assert "letters-imatrix.gguf" in (tmp_path / "out" / "SHA256SUMS").read_text()


@pytest.mark.parametrize("at", cases(["run 1", "calibrate", "run 2"], "calibrate"))
def test_a_run_that_was_stopped_goes_on_where_it_was(
    at: str,
    model: Path,
    by_hand: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Stopped in the first pass, while the text is read, or in the second pass."""
    from relay_gguf.convert import run as run_module

    name, _, number = at.partition(" ")
    module: Any = own_module if name == "calibrate" or number == "1" else run_module
    original = getattr(module, name)

    def stopping(*given: Any, **options: Any) -> Iterator[Any]:
        for count, event in enumerate(original(*given, **options)):
            if count == 3:
                raise KeyboardInterrupt
            yield event

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stopping)
        assert auto(model, "out") == 130
    assert "The same command resumes here" in capfd.readouterr().err
    assert auto(model, "out") == 0
    assert digests(tmp_path / "out") == by_hand


@pytest.mark.thorough
def test_a_model_that_cannot_read_yet_is_made_a_q8_0_that_goes_again(
    pico_mistral: Pair, tmp_path: Path
) -> None:
    given = ("--adapter", pico_mistral.adapter, "--pre", "smollm", "-q", "Q4_0", "--quiet")
    assert ran("convert", pico_mistral.base, *given, "--imatrix", "auto", "-o", "out") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"pico-relay-Q4_0.gguf", "pico-relay-imatrix.gguf"} < names
    assert not [name for name in names if "Q8_0" in name or name.startswith(".")]
    keys = read_header(tmp_path / "out" / "pico-relay-Q4_0.gguf").metadata
    assert keys["quantize.imatrix.file"].value == "pico-relay-imatrix.gguf"
    assert keys["quantize.imatrix.entries_count"].value == 14


REFUSED = {
    "types that need none": (("-q", "Q8_0"), "ask for one, as -q Q4_K_M"),
    "a name without a type": (
        ("-q", "Q4_0", "--name", "m.gguf"),
        "'m.gguf' has no {type}, by which the matrix is named",
    ),
    "a file that is there": (("-q", "Q4_0"), "letters-imatrix.gguf exists. --force replaces it."),
    "little memory": (("-q", "Q4_0", "--force"), "Make the matrix on a larger machine"),
}


def test_what_cannot_be_is_refused_before_anything_is_written(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    little = replace(this_machine(timed=False), available=1000, gpus=())
    out = tmp_path / "out"
    out.mkdir()
    (out / "letters-imatrix.gguf").write_bytes(b"mine")
    for what, (given, wanted) in REFUSED.items():
        if what == "little memory":
            monkeypatch.setattr(own_module, "this_machine", lambda timed: little)
        assert ran("convert", model, *given, "--imatrix", "auto", "-o", "out", "--quiet") == 1, what
        said = capfd.readouterr().err
        assert said.count("\n") == 1, said
        assert wanted in said, said
        assert [path.name for path in out.iterdir()] == ["letters-imatrix.gguf"]


def test_the_plan_tells_of_the_matrix_and_writes_nothing(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ("-q", "Q4_0", "--target-bpw", 9, "--imatrix", "auto", "-o", "out", "--dry-run")
    assert ran("convert", model, *given) == 0
    said = capfd.readouterr().out
    assert "letters-imatrix.gguf: an importance matrix" in said
    assert "--target-bpw 9: types are chosen when the matrix is there." in said
    assert not (tmp_path / "out").exists()


def test_a_matrix_of_few_rows_or_of_another_model_is_told(model: Path) -> None:
    tensors = {tensor.name: tensor for tensor in prepare(request(model, "F16")).tensors}
    names = [name for name in tensors if name.startswith("blk.") and "norm" not in name]
    weights = {name: np.ones(tensors[name].columns, np.float32) for name in names}
    assert list(notes_on(Imatrix("i", weights, rows=2000), tensors)) == []
    assert list(notes_on(Imatrix("i", weights), tensors)) == []
    (few,) = notes_on(Imatrix("i", weights, rows=512), tensors)
    assert few.startswith("i was computed on 512 rows of text, too few")
    (lost,) = notes_on(Imatrix("i", dict(list(weights.items())[1:]), rows=9999), tensors)
    assert lost.startswith(
        f"i has no weights for 1 of 14 matrices of the model's blocks, as {names[0]}"
    )
    deeper = weights | {"blk.2.attn_q.weight": weights[names[0]]}
    with pytest.raises(ConversionError, match="has weights for block 2, and the model has 2"):
        fitting(deeper, tensors)
