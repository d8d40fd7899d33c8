"""What cannot be converted: one line that says why, exit code 1, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from bad_adapters import ADAPTERS
from bad_gguf_files import GGUF_FILES
from bad_models import MODELS
from bad_options import OPTIONS
from conversions import tensors_of
from hf_models import TINY, write_adapter, write_mistral
from spoiled_folders import Case, Q, Scene

from relay_gguf.cli.app import main
from relay_gguf.gguf_file.header import read_header


@pytest.fixture(scope="module")
def folders(plain: Path, chatml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer, the same in shards, and an adapter."""
    root = tmp_path_factory.mktemp("good")
    write_mistral(root / "base", chatml, TINY, dtype="F32")
    write_mistral(root / "sharded", chatml, TINY, dtype="BF16", shard_bytes=50_000)
    write_adapter(root / "adapter", root / "base")
    write_adapter(
        root / "grown", write_mistral(root / "plain", plain, TINY, dtype="F32"), grow=["<|im_end|>"]
    )
    return root


@pytest.fixture
def scene(folders: Path, smollm2: Path, pico: Path, tmp_path: Path) -> Scene:
    shutil.copytree(folders, tmp_path / "in")
    root = tmp_path / "in"
    return Scene(root, root / "base", root / "adapter", smollm2, pico)


CASES = MODELS | ADAPTERS | OPTIONS | GGUF_FILES


def refused(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What the command says when it ends with 1."""
    with pytest.raises(SystemExit) as exit_:
        main(["convert", *map(str, arguments), "--quiet"])
    printed = capfd.readouterr()
    assert (exit_.value.code, printed.out) == (1, ""), printed.err
    (line,) = printed.err.splitlines()
    assert line.startswith("relay-gguf: ")
    assert "This is a bug" not in line
    return line.removeprefix("relay-gguf: ")


@pytest.mark.parametrize(("case", "says"), CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused_before_anything_is_written(
    case: Case,
    says: str,
    scene: Scene,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(scene.root)
    given = case(scene)
    if "--quant" not in given and "--preset" not in given:
        given += ["--quant", "Q8_0"]
    if "--pre" not in given and scene.base.suffix != ".gguf":
        given += ["--pre", "smollm"]
    assert says in refused(capfd, scene.base, *given, "--out", scene.out)
    assert not scene.out.exists()


def test_an_unknown_pre_tokenizer_is_refused_with_a_remedy(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    said = refused(capfd, scene.base, "--quant", "Q8_0", "--out", scene.out)
    assert said.startswith(
        f"{scene.base / 'tokenizer.json'} has a pre-tokenizer that is not in llama.cpp's "
    )
    assert said.endswith("If you know its name there, give it: --pre NAME.")


def test_a_gguf_file_keeps_its_own_pre_tokenizer(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    given = (scene.pico, "--quant", "Q8_0", "--out", scene.out)
    found = read_header(scene.pico).metadata["tokenizer.ggml.pre"].value
    for more in ((), ("--adapter", scene.adapter)):
        assert refused(capfd, *given, *more, "--pre", "foo") == (
            f"--pre is for a model in safetensors: {scene.pico} is a GGUF file, which has its "
            f"pre-tokenizer already, {found}. Leave --pre out."
        )
    assert not scene.out.exists()
    with pytest.raises(SystemExit) as exit_:
        main(["convert", *map(str, given), "--pre", str(found), "--quiet"])
    assert exit_.value.code == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of Unix")
@pytest.mark.parametrize("name", ["base/README.md", "base/model.safetensors", "adapter/x.yml"])
def test_a_pipe_in_a_folder_is_not_waited_for(
    name: str, scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    path = scene.root / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    given = (scene.base, "--adapter", scene.adapter, "--quant", "Q8_0", "--out", scene.out)
    assert refused(capfd, *given) == f"{path} is a pipe or a device. Put a file in its place."


def test_a_page_of_another_kind_is_not_a_folder(capfd: pytest.CaptureFixture[str]) -> None:
    page = "https://huggingface.co/datasets/o/n"
    said = refused(capfd, page, "--quant", "Q8_0", "--out", "nowhere")
    assert said.startswith(f"{page} is not the address of a model on the hub. Give its page's")


def test_a_conversion_needs_a_type(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    said = refused(capfd, scene.base, "--out", scene.out)
    wanted = "No type is asked for. Give --quant TYPE, --preset NAME or --target-size SIZE."
    assert said == wanted


def test_a_file_cannot_be_the_output_folder(
    scene: Scene, capfd: pytest.CaptureFixture[str]
) -> None:
    path = scene.write("a file", "mine")
    for out in (path, path / "below"):
        given = (scene.base, "--pre", "smollm", "--quant", "Q8_0", "--out", out)
        said = refused(capfd, *given)
        assert said.startswith(f"Cannot write {out}: ")
        assert said.endswith(" is not a folder.")
        assert refused(capfd, *given, "--dry-run") == said
    assert path.read_text() == "mine"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_can_be_allowed(value: float, scene: Scene) -> None:
    scene.spoil(f"{Q}.weight", value)
    given = [str(scene.base), "--pre", "smollm", "--out", str(scene.out), "--allow-nonfinite"]
    with pytest.raises(SystemExit) as exit_:
        main(["convert", *given, "--quant", "F32", "--quant", "F16", "--quant", "Q8_0", "--quiet"])
    assert exit_.value.code == 0
    for ftype in ("F32", "F16", "Q8_0"):
        path = scene.out / f"base-{ftype}.gguf"
        assert set(tensors_of(path)) == {info.name for info in read_header(path).tensors}
    stored = np.frombuffer(tensors_of(scene.out / "base-F32.gguf")["blk.0.attn_q.weight"][2], "<f4")
    assert np.count_nonzero(~np.isfinite(stored)) == 1

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text = (scene.out / "base-Q8_0.report.json").read_text("utf-8")
    report = json.loads(text, parse_constant=refuse)
    assert report["verified"]
    (spoiled_tensor,) = [t for t in report["tensors"] if t["name"] == "blk.0.attn_q.weight"]
    assert any("finite" in said for said in (*spoiled_tensor, *report["notes"]))
