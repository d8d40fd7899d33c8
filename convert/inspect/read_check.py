"""Whether llama.cpp reads a file that our own checks do not cover: tried in a child process."""

from __future__ import annotations

from collections.abc import Iterator

from relay_gguf.gguf_file.faults import faults
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.llama.first_read.first_read import first_read

from .finding import AGAIN, Finding, problem


def check_read(model: GgufModel) -> Iterator[Finding]:
    """llama.cpp reads the file; nothing is found where another check has told why it does not."""
    truncated = any(shard.size < shard.needed for shard in model.shards)
    if model.missing or truncated or next(faults(model), None) is not None:
        return
    result = first_read(model)
    if result.died:
        what = f"llama.cpp ends where it reads the file ({result.died})"
        yield problem("llama.cpp", f"{what}. Its last words: {result.said}", AGAIN)
    elif result.said:
        yield problem("llama.cpp", f"llama.cpp refuses the file: {result.said}", AGAIN)
