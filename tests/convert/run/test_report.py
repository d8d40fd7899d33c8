"""What a conversion's report says of its files."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import Pair, converted, request
from gguf import GGUFReader
from gguf.quants import dequantize
from hf_models import PICO, write_adapter, write_mistral
from safetensors.numpy import load_file
from stopped_runs import TYPES, report_of

from relay_gguf.convert.request import Request


def values_of(path: Path) -> dict[str, Any]:
    """What a file's tensors stand for."""
    return {
        tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        for tensor in GGUFReader(path).tensors
    }


def test_errors_in_the_report_are_those_of_the_file(
    wanted: Request, whole: Path, tmp_path: Path
) -> None:
    ((path,),) = converted(replace(wanted, ftypes=("F32",)), tmp_path).values()
    exact = values_of(path)
    for ftype in TYPES:
        report, stored = report_of(whole, ftype), values_of(whole / f"pico-relay-{ftype}.gguf")
        squares, all_squares = 0.0, 0.0
        for tensor in report["tensors"]:
            name = tensor["name"]
            difference = stored[name].reshape(-1) - exact[name].reshape(-1)
            squares += (difference**2).sum()
            all_squares += (exact[name] ** 2).sum()
            expected = np.sqrt((difference**2).sum() / (exact[name] ** 2).sum())
            assert tensor["error"] == pytest.approx(expected, rel=1e-4, abs=1e-7), name
            assert tensor["largest_error"] == pytest.approx(np.abs(difference).max(), rel=1e-4)
        assert report["error"] == pytest.approx(np.sqrt(squares / all_squares), rel=1e-4)


def test_the_report_has_the_norms_of_the_merge(plain: Path, tmp_path: Path) -> None:
    base = write_mistral(tmp_path / "base", plain, PICO, dtype="F32")
    adapter = write_adapter(tmp_path / "lora", base, modules=("self_attn.q_proj", "mlp.up_proj"))
    weights = load_file(base / "model.safetensors")
    lora = load_file(adapter / "adapter_model.safetensors")
    norms = {}
    for kind, module in {"attn_q": "self_attn.q_proj", "ffn_up": "mlp.up_proj"}.items():
        moved, before = 0.0, 0.0
        for layer in range(PICO.layers):
            name = f"model.layers.{layer}.{module}"
            a, b = (lora[f"base_model.model.{name}.lora_{x}.weight"].astype(float) for x in "AB")
            moved += ((16 / 8 * b @ a) ** 2).sum()
            before += (weights[f"{name}.weight"].astype(float) ** 2).sum()
        norms[kind] = {
            "tensors": PICO.layers,
            "moved": pytest.approx((moved / before) ** 0.5, 1e-4),
        }
    converted(request(base, "Q8_0", adapter=adapter), tmp_path / "out")
    assert report_of(tmp_path / "out", "Q8_0")["merge"] == norms


def test_the_report_tells_files_origin_and_checks(
    pico_mistral: Pair, wanted: Request, whole: Path, tmp_path: Path
) -> None:
    reports = {ftype: report_of(whole, ftype) for ftype in TYPES}
    for ftype, report in reports.items():
        path = whole / f"pico-relay-{ftype}.gguf"
        content = path.read_bytes()
        assert report["files"] == [
            {"name": path.name, "bytes": len(content), "sha256": sha256(content).hexdigest()}
        ]
        assert report["type"] == ftype
        weights = (pico_mistral.adapter / "adapter_model.safetensors").read_bytes()
        assert report["origin"] == {
            "source": "Pico-Mistral",
            "adapter": "pico-relay",
            "adapter_sha256": sha256(weights).hexdigest(),
            "merge_base": "original",
            "merge_reason": "nothing in the adapter's folder tells of training in 4 bits",
        }
        assert report["verified"]["texts_tokenized_alike"] >= 5
    errors = [reports[ftype]["error"] for ftype in TYPES]
    assert 0 < errors[0] < 0.01 < errors[1] < 0.1 < errors[2] < 0.4
