"""The likeliest scenes, which a model knows by heart, and the least likely: it stumbled."""

from __future__ import annotations

from collections.abc import Sequence


def outside_band(logprobs: Sequence[float], *, likeliest: float, unlikeliest: float) -> set[int]:
    """The places of the scenes to drop.

    Args:
        logprobs: the mean log-probability of a token, of each scene.
        likeliest: share of scenes to drop at the upper end; rounded down to whole scenes.
        unlikeliest: share of scenes to drop at the lower end.
    """
    order = sorted(range(len(logprobs)), key=lambda place: logprobs[place])
    low, high = int(unlikeliest * len(order)), int(likeliest * len(order))
    return {*order[:low], *order[len(order) - high :]}
