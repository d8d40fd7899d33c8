"""A comparison as JSON, for programs and for the model card."""

from __future__ import annotations

from typing import Any

from .comparison import Comparison, PairedFiles
from .figures import Estimate, Figures, is_clear

FORMAT = 1


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The whole comparison. Divergences in nats, probabilities 0 to 1, errors of one deviation."""
    return {
        "format": FORMAT,
        "base": dict(found.base),
        "text": found.text,
        "n_ctx": found.n_ctx,
        "n_chunks": found.n_chunks,
        "n_positions": found.n_positions,
        "files": [
            {
                "name": each.file.name,
                "type": each.file.model.ftype,
                "bytes": each.file.model.size,
                "groups": {name: _figures_json(seen) for name, seen in each.groups.items()},
            }
            for each in found.files
        ],
        "pairs": [_pair_json(pair) for pair in found.pairs],
    }


def _figures_json(seen: Figures) -> dict[str, Any]:
    return {
        "n_positions": seen.n_positions,
        "perplexity": _estimate(seen.perplexity),
        "base_perplexity": _estimate(seen.base_perplexity),
        "perplexity_ratio": _estimate(seen.ratio),
        "log_perplexity_ratio": _estimate(seen.log_ratio),
        "perplexity_difference": _estimate(seen.difference),
        "correlation": seen.correlation,
        "kld": _estimate(seen.kld),
        "kld_percentiles": {f"{at:g}": value for at, value in seen.kld_percentiles.items()},
        "delta_p": _estimate(seen.delta),
        "delta_p_percentiles": {f"{at:g}": value for at, value in seen.delta_percentiles.items()},
        "delta_p_rms": _estimate(seen.delta_rms),
        "same_top": _estimate(seen.same_top),
    }


def _pair_json(pair: PairedFiles) -> dict[str, Any]:
    return {
        "better": pair.better,
        "worse": pair.worse,
        "kld_difference": _estimate(pair.difference),
        "clear": is_clear(pair.difference),
    }


def _estimate(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "error": estimate.error}
