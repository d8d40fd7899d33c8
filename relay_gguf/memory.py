"""Whether a model fits: arithmetic on numbers that others measured."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import MemoryShortError

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a loaded model takes."""

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.weights + self.kv + self.compute


def require(need: MemoryNeed, available: int, model: str, n_ctx: int) -> None:
    """Refuse a model that would only swap.

    Raises:
        MemoryShortError: `need` is over `available` bytes.
    """
    if need.total <= available:
        return
    without_cache = need.total - need.kv
    hint = (
        "A smaller --n-ctx would do."
        if without_cache < 0.9 * available
        else "Take a smaller quantization of the model."
    )
    raise MemoryShortError(
        f"{model} needs {need.total / GIB:.1f} GiB of memory ({need.weights / GIB:.1f} weights, "
        f"{need.kv / GIB:.1f} context of {n_ctx} tokens, {need.compute / GIB:.1f} work space) and "
        f"this machine has {available / GIB:.1f} GiB left. {hint}"
    )
