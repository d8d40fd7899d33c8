"""The figures and the file of llama.cpp's own tool, on the same text and the same models."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relay_gguf.quality.base_logits import read_base_logits
from relay_gguf.quality.comparison import (
    ALL,
    Comparison,
    LogitsPlace,
    MeasuredText,
    compare,
)
from relay_gguf.quality.figures import Estimate, Figures
from relay_gguf.quality.measure import Computing
from relay_gguf.quality.model_file import model_file

COMPUTING = Computing(n_threads=1)


@pytest.fixture(scope="module")
def ours(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    """Our comparison on the text of the golden, and the file of the base's logits."""
    folder = tmp_path_factory.mktemp("ours")
    golden = Path(__file__).parents[1] / "golden" / "quality"
    logits = folder / "base.logits"
    found = compare(
        model_file(tiny.base),
        [model_file(tiny.noisy)],
        MeasuredText(golden / "text.txt", n_ctx=16, n_positions=15 * 7),
        COMPUTING,
        LogitsPlace(folder, logits),
    )
    return found, logits


def printed(text: str) -> dict[str, list[float]]:
    """llama.cpp's figures by their names; those in percent as shares."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"(.+?)\s*:\s+([-\d.]+)(?: ±\s+([\d.]+))?", line)
        if match:
            numbers = [float(each) for each in match.group(2, 3) if each]
            name = re.sub(r"\s+", " ", match[1].strip())
            found[name] = [each / 100 if line.endswith("%") else each for each in numbers]
    return found


def named(seen: Figures) -> dict[str, list[float]]:
    """Our figures under llama.cpp's names."""

    def both(estimate: Estimate) -> list[float]:
        return [estimate.value, estimate.error]

    def at(share: float) -> str:
        names = {100: "Maximum", 50: "Median", 0: "Minimum"}
        return names.get(share, f"{share:.1f}%")

    return {
        "Mean PPL(Q)": both(seen.perplexity),
        "Mean PPL(base)": both(seen.base_perplexity),
        "Cor(ln(PPL(Q)), ln(PPL(base)))": [seen.correlation],
        "Mean ln(PPL(Q)/PPL(base))": both(seen.log_ratio),
        "Mean PPL(Q)/PPL(base)": both(seen.ratio),
        "Mean PPL(Q)-PPL(base)": both(seen.difference),
        "Mean KLD": both(seen.kld),
        **{f"{at(share)} KLD": [value] for share, value in seen.kld_percentiles.items()},
        "Mean Δp": both(seen.delta),
        **{f"{at(share)} Δp": [value] for share, value in seen.delta_percentiles.items()},
        "RMS Δp": both(seen.delta_rms),
        "Same top p": both(seen.same_top),
    }


def test_every_figure_is_llama_cpps(ours: tuple[Comparison, Path], golden: Path) -> None:
    """Within 1 %, or what its print has rounded off."""
    theirs = printed((golden / "figures.txt").read_text("utf-8"))
    figures = named(ours[0].files[0].groups[ALL])
    assert figures.keys() == theirs.keys()
    assert len(figures) == 34
    for name, values in theirs.items():
        digits = 5.1e-6 if "Δp" in name else 5.1e-5 if "Cor" in name or "top" in name else 5.1e-7
        assert figures[name] == pytest.approx(values, rel=0.01, abs=digits), name


def test_the_file_of_logits_is_llama_cpps(ours: tuple[Comparison, Path], golden: Path) -> None:
    """Header and tokens to the byte, probabilities to a step of 65535; only the end is ours."""
    ours_, theirs = read_base_logits(ours[1]), read_base_logits(golden / "base.logits")
    assert (ours_.tokens == theirs.tokens).all()
    assert (ours_.n_vocab, ours_.n_positions) == (theirs.n_vocab, theirs.n_positions) == (280, 105)
    size = (golden / "base.logits").stat().st_size
    assert ours[1].read_bytes()[size : size + 8] == b"_relay__"
    assert ours[1].read_bytes()[:980] == (golden / "base.logits").read_bytes()[:980]
    for chunk in range(15):
        one, other = ours_.records(chunk, 0, 7), theirs.records(chunk, 0, 7)
        np.testing.assert_allclose(one[:, :4].view(np.float32), other[:, :4].view(np.float32), 1e-4)
        assert np.abs(one[:, 4:].astype(int) - other[:, 4:].astype(int)).max() <= 8


def test_llama_cpps_file_of_logits_does_without_the_base(
    tiny: Any, golden: Path, tmp_path: Path
) -> None:
    found = compare(
        None,
        [model_file(tiny.noisy)],
        MeasuredText(),
        COMPUTING,
        LogitsPlace(tmp_path, golden / "base.logits"),
    )
    theirs = printed((golden / "figures.txt").read_text("utf-8"))
    assert found.files[0].groups[ALL].kld.value == pytest.approx(theirs["Mean KLD"][0], rel=0.01)


def test_a_base_beside_itself_does_not_differ(tiny: Any, tmp_path: Path, golden: Path) -> None:
    text = MeasuredText(golden / "text.txt", n_ctx=16, n_positions=None)
    base = model_file(tiny.base)
    renamed = replace(base, path=tiny.base)
    found = compare(base, [renamed], text, COMPUTING, LogitsPlace(tmp_path))
    seen = found.files[0].groups[ALL]
    assert seen.kld.value == pytest.approx(0, abs=1e-5)
    assert seen.ratio.value == pytest.approx(1, abs=1e-4)
    assert seen.same_top.value > 0.97
