"""Every mix of types and every override, byte for byte what llama.cpp's quantizer makes (live)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conversions import converted, quantized, request, tensors_of
from outlines import IMATRIX, OUTLINES, Model, importance, write_imatrix, write_outline

from relay_gguf.cli.app import main
from relay_gguf.convert.arch.weights import Tensor
from relay_gguf.convert.job import prepare
from relay_gguf.convert.quantize.ftypes import ENCODED, FTYPES, LARGE, WITH_IMATRIX
from relay_gguf.convert.quantize.overrides import TypeOverrides, type_overrides
from relay_gguf.convert.write.targets import sizes
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import read_header


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    made = {}
    for name, outline in OUTLINES.items():
        root = tmp_path_factory.mktemp("outline")
        imatrix = write_imatrix(root / IMATRIX, outline)
        made[name] = Model(write_outline(root / "m.gguf", outline), importance(outline), imatrix)
    return made


Kinds = Mapping[str, set[str]]
"""File type → the types of its tensors."""


def compared(
    model: Model,
    out: Path,
    *ftypes: str,
    imatrix: bool = False,
    overrides: TypeOverrides | None = None,
) -> Kinds:
    """Make files, and compare each with llama.cpp's."""
    wanted = overrides or TypeOverrides()
    asked = request(
        model.path,
        *ftypes,
        overrides=wanted,
        imatrix=model.imatrix if imatrix else None,
        verify=False,
        template="keep",
    )
    found = {}
    for ftype, (ours,) in converted(asked, out).items():
        given = wanted.of(ftype)
        theirs = quantized(
            model.path,
            out,
            ftype,
            model.weights if imatrix else None,
            patterns=given.patterns,
            token_embedding=given.token_embedding,
            output=given.output,
        )
        assert ours.read_bytes() == theirs.read_bytes(), ftype
        found[ftype] = {kind for _, kind, _ in tensors_of(ours).values()}
    return found


NEW = ("IQ3_M", "IQ3_S", "TQ2_0", "TQ1_0", "MXFP4_MOE", *LARGE)
"""Types that `test_quantize.py` does not have, and for which ggml computes no tables first."""


@pytest.mark.parametrize("outline", OUTLINES)
def test_files_are_llama_cpps(outline: str, models: Mapping[str, Model], tmp_path: Path) -> None:
    found = compared(models[outline], tmp_path, *NEW, "IQ3_XS", "Q2_K_S", imatrix=True)
    if outline == "one head for each":
        assert found["IQ3_XS"] == {"F32", "Q6_K", "IQ3_S", "IQ3_XXS"}
        assert found["Q4_K_L"] == {"F32", "Q8_0", "Q6_K", "Q4_K"}
        assert found["TQ1_0"] == {"F32", "Q6_K", "Q4_K", "TQ1_0"}
    if outline == "eight experts":
        assert found["MXFP4_MOE"] == {"F32", "Q8_0", "MXFP4"}
    if outline == "odd rows":
        assert found["IQ3_M"] == {"F32", "Q8_0", "Q5_0", "IQ4_NL"}


@pytest.mark.grids
@pytest.mark.parametrize("imatrix", [False, True])
@pytest.mark.parametrize("outline", OUTLINES)
def test_files_of_every_type_are_llama_cpps(
    outline: str, imatrix: bool, models: Mapping[str, Model], tmp_path: Path
) -> None:
    ftypes = [ftype for ftype in FTYPES if imatrix or ftype not in WITH_IMATRIX]
    found = compared(models[outline], tmp_path, *ftypes, imatrix=imatrix)
    if imatrix and outline == "one head for each":
        assert found["IQ2_S"] == {"F32", "Q5_K", "IQ3_S", "IQ2_XS"}
        kinds = {kind.name for kind in ENCODED} - {"MXFP4", "IQ3_XXS"}
        assert kinds <= set().union(*found.values())


PATTERNS = ("BLK\\.[01]\\.ffn_down=q6_k", "ffn_down=MXFP4", "attn_(q|k)=iq3_xxs")


def test_overrides_are_llama_quantizes(models: Mapping[str, Model], tmp_path: Path) -> None:
    model = models["one head for each"]
    overrides = type_overrides(PATTERNS, None, None)
    found = compared(model, tmp_path, "Q4_K_M", "Q4_K_L", imatrix=True, overrides=overrides)
    for ftype in ("Q4_K_M", "Q4_K_L"):
        assert {"Q6_K", "MXFP4", "IQ3_XXS"} <= found[ftype]
    overrides = type_overrides(PATTERNS[:1], "Q5_1", "f16")
    tied = models["eight heads for one"]
    found = compared(tied, tmp_path / "tied", "Q4_K_L", "F32", imatrix=True, overrides=overrides)
    assert "Q5_1" in found["Q4_K_L"] & found["F32"]


def test_the_output_head_can_be_found_by_a_pattern(
    models: Mapping[str, Model], tmp_path: Path
) -> None:
    overrides = type_overrides(["^output=Q3_K"], None, None)
    model = models["one head for each"]
    assert "Q3_K" in compared(model, tmp_path, "Q4_K_M", overrides=overrides)["Q4_K_M"]
    # A type of Q4_K_L's own goes before it, so the pattern would change nothing there.
    with pytest.raises(ConversionError, match="is found in the name of no tensor"):
        compared(model, tmp_path / "L", "Q4_K_L", overrides=overrides)


def test_where_blocks_do_not_divide_rows_the_plan_tells_of_the_type_instead(
    models: Mapping[str, Model], tmp_path: Path
) -> None:
    overrides = type_overrides(["blk.0.ffn=Q4_K", "ffn_up=Q5_0"], None, None)
    model = models["odd rows"]
    assert compared(model, tmp_path, "Q8_0", overrides=overrides)["Q8_0"] == {"F32", "Q8_0", "Q5_0"}
    asked = request(model.path, "Q8_0", "F16", overrides=overrides, verify=False)
    assert prepare(asked).notes == (
        "Q8_0: 3 tensors that 'blk.0.ffn' finds are Q5_0, not Q4_K, whose blocks of 256 values do "
        "not divide their rows: blk.0.ffn_down.weight is one.",
    )


def test_experts_are_encoded_with_their_own_weights(
    models: Mapping[str, Model], tmp_path: Path
) -> None:
    model = models["eight experts"]
    with_one = {name: values.copy() for name, values in model.weights.items()}
    with_one["blk.0.ffn_up_exps.weight"][256:512] = 1
    made = [
        tensors_of(quantized(model.path, tmp_path, "Q4_0", weights))["blk.0.ffn_up_exps.weight"]
        for weights in (model.weights, with_one)
    ]
    assert made[0] != made[1]  # so that the comparison above shows whose weights were taken


@pytest.mark.parametrize("ftype", WITH_IMATRIX)
def test_a_type_that_needs_an_imatrix_is_refused_without(
    ftype: str, models: Mapping[str, Model], tmp_path: Path
) -> None:
    model = models["one head for each"]
    with pytest.raises(ConversionError, match=f"{ftype} needs an importance matrix .*--imatrix"):
        prepare(request(model.path, ftype))
    head = read_header(model.path)
    shapes = [Tensor(info.name, info.shape) for info in head.tensors]
    assert sizes(head.metadata, shapes, [ftype])[ftype] > head.size


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a pattern of nothing": (
        "Q4_K_M",
        {"patterns": ["blk.77=Q8_0"]},
        "--tensor-type blk.77=Q8_0: 'blk.77' is found in the name of no tensor that is quantized.",
    ),
    "a pattern of a norm": (
        "Q4_K_M",
        {"patterns": ["attn_norm=Q8_0"]},
        "'attn_norm' is found in the name of no tensor that is quantized. Names are like blk.0.",
    ),
    "a pattern for F16": (
        "F16",
        {"patterns": ["ffn=Q8_0"]},
        "--tensor-type ffn=Q8_0 changes quantized files only, and F16 is not quantized. Give",
    ),
    "no regular expression": (
        "Q4_K_M",
        {"patterns": ["blk.[=Q8_0"]},
        "--tensor-type 'blk.[' is not a regular expression: ",
    ),
    "a pattern whose type needs an imatrix": (
        "Q4_K_M",
        {"patterns": ["ffn_up=IQ2_S"]},
        "Q4_K_M needs an importance matrix (blk.0.ffn_up.weight as IQ2_S): give --imatrix FILE",
    ),
    "an embedding whose rows do not divide": (
        "Q8_0",
        {"token_embedding": "Q6_K"},
        "Q8_0: token_embd.weight cannot be Q6_K, whose blocks of 256 values do not divide its rows "
        "of 288. Give --token-embedding-type a type that does: Q8_0 has blocks of 32, F16 of 1.",
    ),
    "an embedding that needs an imatrix": (
        "Q8_0",
        {"token_embedding": "iq2_xs", "imatrix": True},
        "The imatrix has no weights for 1 tensors of Q8_0 that need them (token_embd.weight as "
        "IQ2_XS).",
    ),
}


@pytest.mark.parametrize(("ftype", "given", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_overrides_that_cannot_be_are_refused(
    ftype: str, given: dict[str, Any], says: str, models: Mapping[str, Model]
) -> None:
    model = models["odd rows" if "of 288" in says else "one head for each"]
    overrides = type_overrides(
        given.get("patterns", []), given.get("token_embedding"), given.get("output")
    )
    imatrix = model.imatrix if "imatrix" in given else None
    with pytest.raises(ConversionError) as error:
        prepare(request(model.path, ftype, overrides=overrides, imatrix=imatrix))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((["ffn_down"], None, None), "--tensor-type is 'ffn_down'; it should be REGEX=TYPE, as"),
        ((["=Q8_0"], None, None), "--tensor-type is '=Q8_0'; it should be REGEX=TYPE, as"),
        ((["ffn="], None, None), "--tensor-type is 'ffn='; it should be REGEX=TYPE, as"),
        ((["a" * 1001 + "=Q8_0"], None, None), "is not a pattern of at most 1000 characters"),
        ((["ffn=Q4_K_M"], None, None), "there is no type 'Q4_K_M' of tensors. The types are: F32"),
        (([], "Q8", None), "--token-embedding-type: there is no type 'Q8' of tensors."),
        (([], None, "i32"), "--output-tensor-type: there is no type 'i32' of tensors."),
    ],
)
def test_options_that_are_not_overrides_are_refused(
    given: tuple[list[str], str | None, str | None], says: str
) -> None:
    with pytest.raises(ConversionError) as error:
        type_overrides(*given)
    assert says in str(error.value)


def test_the_command_takes_overrides_and_tells_of_them(
    models: Mapping[str, Model], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["convert", str(models["one head for each"].path), "-o", str(tmp_path / "out")]
    given += ["-q", "Q4_K_L", "--tensor-type", "ffn_down=Q6_K", "--token-embedding-type", "q5_1"]
    with pytest.raises(SystemExit):
        main([*given, "--no-verify", "--dry-run"])
    planned = capfd.readouterr().out
    assert "asked for: token_embd=Q5_1, output=Q8_0, ffn_down=Q6_K" in planned
    assert "        asked for" in planned
    with pytest.raises(SystemExit):
        main([*given, "--no-verify", "--quiet"])
    report = json.loads((tmp_path / "out/m-Q4_K_L.report.json").read_text("utf-8"))
    assert report["overrides"] == ["token_embd=Q5_1", "output=Q8_0", "ffn_down=Q6_K"]
    card = (tmp_path / "out/README.md").read_text("utf-8")
    assert "| Q4_K_L |" in card
    assert (
        "`m-Q4_K_L.gguf` has other types than llama.cpp's mix in places: token\\_embd=Q5\\_1, "
        "output=Q8\\_0, ffn\\_down=Q6\\_K." in card
    )
