"""Whether llama.cpp may read a file in this process, which it ends where it finds a wrong value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.faults import ALL, VOCABULARY, Part, faults, is_covered
from relay_gguf.gguf_file.gguf_model import GgufModel, Shard, read_gguf
from relay_gguf.gguf_file.header import read_header

from .ask_reader import ReadResult, ask
from .kept_reads import keep_read, kept_read


def readable_model(path: Path) -> GgufModel:
    """The headers of a model whose file can be given to llama.cpp.

    Raises:
        ModelError: the file does not exist, is damaged or incomplete, or llama.cpp would end this
            process over it.
    """
    model = read_gguf(path)
    model.check()
    refuse_deadly(model)
    return model


def refuse_deadly(model: GgufModel, parts: tuple[Part, ...] = ALL) -> None:
    """Refuse a file that llama.cpp would refuse, or over which it would end this process.

    Args:
        model: whole: with all shards and all bytes.
        parts: of the file that will be read.

    Raises:
        ModelError: names the file, what is wrong, and what to do.
    """
    if why := deadly(model, parts):
        raise ModelError(
            f"{model.path} cannot be used: {why}. Download or convert it again, or take another "
            "file."
        )


def deadly(model: GgufModel, parts: tuple[Part, ...] = ALL) -> str:
    """Why llama.cpp would refuse a file or end this process over it; empty if it would not.

    A file that our checks do not cover is read in a child process the first time, which takes a
    second or two. What llama.cpp refuses there with an error and no harm, it may refuse here.
    """
    found = list(faults(model, parts))
    if found:
        others = f" (`relay-gguf inspect` lists {len(found) - 1} more)" if len(found) > 1 else ""
        return found[0].text + others
    result = first_read(model, parts)
    if result.died:
        return f"llama.cpp ends where it reads it ({result.died}). Its last words: {result.said}"
    return ""


def first_read(model: GgufModel, parts: tuple[Part, ...] = ALL) -> ReadResult:
    """How llama.cpp gets on with a file, by our checks, by what was kept, or in a child process."""
    vocab_only = parts == VOCABULARY
    if is_covered(model, parts):
        return ReadResult()
    paths = [shard.path for shard in model.shards]
    if found := kept_read(paths, vocab_only=vocab_only):
        return found
    with suppress(OSError):  # no more processes: as before there were first reads
        result = ask(paths, vocab_only=vocab_only)
        keep_read(paths, result, vocab_only=vocab_only)
        return result
    return ReadResult()


def model_of(paths: Sequence[Path]) -> GgufModel:
    """A model of a file, or of its shards in order, whatever they are called.

    Raises:
        ModelError: a file does not exist, or is not a GGUF file.
    """
    return GgufModel(tuple(Shard(path, read_header(path), path.stat().st_size) for path in paths))
