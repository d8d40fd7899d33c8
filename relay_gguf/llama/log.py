"""llama.cpp's log: collected while a model loads, and turned into errors for the user."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from relay_gguf.errors import MemoryShortError, ModelError
from relay_gguf.fit.memory import MIB

from .native import lib

log = logging.getLogger("relay_gguf.llama.cpp")

WARN, ERROR = 3, 4  # ggml.h; llama_cpp's own table of levels has them wrong

_listeners: list[list[tuple[int, str]]] = []


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _hear(level: int, text: bytes, _: object) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if not line.strip("."):
        return
    for lines in _listeners:
        lines.append((level, line))
    log.log(logging.WARNING if level >= WARN else logging.DEBUG, "%s", line)


# llama.cpp writes to stderr otherwise, over whatever is on the screen. The callback must live as
# long as the process: it is a global of this module.
lib.llama_log_set(_hear, None)
if not logging.getLogger("relay_gguf").handlers:
    logging.getLogger("relay_gguf").addHandler(logging.NullHandler())


class LogLines:
    """Collects llama.cpp's log while the `with` block runs, as (level, line)."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def __enter__(self) -> LogLines:
        _listeners.append(self.lines)
        return self

    def __exit__(self, *exc: object) -> None:
        _listeners[:] = [lines for lines in _listeners if lines is not self.lines]

    @property
    def kv(self) -> int:
        """Bytes of the KV cache on all devices."""
        found = [re.search(r"size =\s+([\d.]+) MiB \(.*cells", line) for _, line in self.lines]
        return int(sum(float(match[1]) for match in found if match) * MIB)

    @property
    def weights(self) -> list[str]:
        """The names of buffers that hold weights: CPU, CPU_REPACK, AMX, CUDA0."""
        found = [re.search(r"(\S+)\s+model buffer size =", line) for _, line in self.lines]
        return sorted({match[1] for match in found if match})

    @property
    def compute(self) -> dict[str, int]:
        """Bytes of compute buffers by name: CPU, CUDA0, CUDA_Host."""
        sizes: dict[str, int] = {}
        for _, line in self.lines:
            if match := re.search(r"(\S+)\s+compute buffer size =\s+([\d.]+) MiB", line):
                sizes[match[1]] = sizes.get(match[1], 0) + int(float(match[2]) * MIB)
        return sizes


def explain(path: Path, lines: Sequence[tuple[int, str]], n_ctx: int | None = None) -> ModelError:
    """The error for a file that llama.cpp refused, from the lines of its log.

    Args:
        path: the file.
        lines: (level, line) pairs.
        n_ctx: tokens of context, if the context could not be made.
    """
    said = "\n".join(line for level, line in lines if level >= WARN)
    if match := re.search(r"unknown model architecture: '([^']*)'", said):
        return ModelError(
            f"{path} is of the architecture {match[1]!r}, which this llama.cpp does not know. "
            "Upgrade relay-gguf, or take another model."
        )
    if re.search(
        r"out of memory|failed to allocate|unable to allocate|cannot allocate", said, re.I
    ):
        of = f" with a context of {n_ctx} tokens" if n_ctx else ""
        return MemoryShortError(
            f"{path}{of} does not fit into memory. Take a smaller quantization or --n-ctx."
        )
    if re.search(r"not within the file bounds|corrupted or incomplete|failed to read|EOF", said):
        return ModelError(
            f"{path} is truncated or damaged: it ends before its tensors do. Download it again."
        )
    errors = [line for level, line in lines if level >= ERROR]
    reason = errors[-1] if errors else "no reason given"
    first = errors[0] if errors else reason
    return ModelError(f"llama.cpp cannot load {path}: {first}. --debug shows its log.")
