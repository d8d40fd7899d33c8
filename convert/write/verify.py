"""The verification of a written file: it is whole and sound, and tokenizes texts as it should."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from relay_gguf.convert.quantize.ggml import is_valid, row_bytes, tokenizations
from relay_gguf.disk import CHUNK
from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Metadata

from .layout import Slot, lay_out
from .output import Output

DAMAGED = "Is the disk sound? Convert again with --restart."


def verify(
    outputs: Sequence[Output],
    readings: Iterable[Iterator[int]],
    probes: Mapping[str, Sequence[int]],
) -> Iterator[int]:
    """Check the files of a model, still under their partial names; yields byte counts as it reads.

    Args:
        outputs: the file, or its shards in order.
        readings: `read_back` of each, which may be under way.
        probes: text → token ids by Hugging Face's tokenizer.

    Raises:
        ConversionError: the disk holds other bytes, values are not valid, llama.cpp cannot open
            the model, or tokenizes a text otherwise than the tokenizer.
    """
    for reading in readings:
        yield from reading
    compare_tokenizations([output.partial for output in outputs], probes, {}, tensors=True)


def check_vocabulary(
    metadata: Metadata,
    probes: Mapping[str, Sequence[int]],
    matched: Mapping[str, str] | None = None,
) -> None:
    """Let llama.cpp read the vocabulary and tokenize texts, before hours of work.

    Args:
        metadata: has the vocabulary.
        probes: text → token ids by Hugging Face's tokenizer.
        matched: tokens that the tokenizer looks for in a way of its own → what tells of that way.

    Raises:
        ConversionError: it cannot read it, or tokenizes a text otherwise than the tokenizer.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocabulary.gguf")
        path.write_bytes(lay_out(metadata, []).header)
        compare_tokenizations([path], probes, matched or {})


def compare_tokenizations(
    paths: Sequence[Path],
    probes: Mapping[str, Sequence[int]],
    matched: Mapping[str, str],
    *,
    tensors: bool = False,
) -> None:
    """Compare llama.cpp's token ids for texts with the tokenizer's.

    Raises:
        ConversionError: they differ; shows the first difference. Or llama.cpp cannot read the
            vocabulary, or with `tensors` refuses the model.
    """
    tokenized = tokenizations(paths, list(probes), tensors=tensors)
    for (text, expected), found in zip(probes.items(), tokenized, strict=True):
        if list(expected) == found:
            continue
        at = next(
            (i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
            min(len(expected), len(found)),
        )
        why = "The pre-tokenizer is the wrong one (--pre), or llama.cpp has none like it."
        ways = [f"{token} is {way}" for token, way in matched.items() if token in text]
        if ways:
            why = (
                f"In tokenizer.json {', '.join(ways)}; GGUF cannot say so, and llama.cpp finds "
                "tokens by their text alone and keeps what is beside them. A chat would have "
                "other tokens than training had; --no-verify converts the model nevertheless."
            )
        raise ConversionError(
            f"llama.cpp cuts {text[:40]!r}... into other tokens than the tokenizer: from token "
            f"{at} on {found[at : at + 4]}, not {list(expected[at : at + 4])}. {why}"
        )


def read_back(output: Output, digest: str, *, allow_nonfinite: bool = False) -> Iterator[int]:
    """Read a file of a model, still under its partial name; yields byte counts as it reads.

    Args:
        output: the file, whole.
        digest: the SHA-256 of the bytes that were written.
        allow_nonfinite: accept values that are NaN or infinite.

    Raises:
        ConversionError: the disk holds other bytes, or values are not valid.
    """
    running = sha256()
    position = 0
    try:
        with output.partial.open("rb") as file:

            def take(count: int) -> bytes:
                nonlocal position
                data = file.read(count)
                running.update(data)
                position += len(data)
                return data

            for slot in output.file.layout.slots:
                take(slot.offset - position)
                for count in _rows(slot):
                    data = np.frombuffer(take(count), dtype=np.uint8)
                    if data.size < count or not (allow_nonfinite or is_valid(slot.kind, data)):
                        raise ConversionError(
                            f"{output.partial}: {slot.tensor.name} does not hold {slot.kind.name} "
                            f"values. {DAMAGED}"
                        )
                    yield count
            take(output.file.layout.size - position)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        raise ConversionError(f"Cannot read {output.partial} back ({name}). {DAMAGED}") from error
    if running.hexdigest() != digest:
        raise ConversionError(f"{output.partial} is not what was written. {DAMAGED}")


def _rows(slot: Slot) -> Iterator[int]:
    """Byte counts that cover a tensor in whole rows."""
    row = row_bytes(slot.kind, slot.tensor.columns)
    step = max(1, CHUNK // row) * row
    for start in range(0, slot.n_bytes, step):
        yield min(step, slot.n_bytes - start)
