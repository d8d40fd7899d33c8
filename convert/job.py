"""A conversion that is ready to run: everything opened, planned and checked, nothing written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from relay_gguf.errors import ConversionError
from relay_gguf.gguf_file.header import Keys, Kind, Value

from .arch.llama import MAX_CONTEXT
from .arch.weights import Tensor
from .metadata import Card
from .model import Model, open_model
from .quantize.ftypes import FTYPES
from .quantize.imatrix import Imatrix, read_imatrix
from .read.source import ASKED_BASES, AskedBase
from .write.plan import Target, plan
from .write.verify import check_vocabulary

Template = Literal["relay", "keep"]

TEMPLATES: Final[tuple[Template, ...]] = get_args(Template)
TYPE: Final = "{type}"
"""Stands for the type in a pattern of file names."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for.

    `base` is a folder, `owner/name` or a GGUF file; `name` a pattern with `{type}` in it;
    `max_bytes` splits the files.
    """

    base: str
    ftypes: tuple[str, ...]
    adapter: str | None = None
    name: str | None = None
    card: Card = field(default_factory=Card)
    merge_base: AskedBase = "auto"
    context_length: int | None = None
    pre: str | None = None
    imatrix: Path | None = None
    max_bytes: int | None = None
    allow_nonfinite: bool = False
    verify: bool = True
    template: Template = "relay"  # the chat template: ours, or the tokenizer's own
    allow_requantize: bool = False  # take a GGUF file as base that is quantized


@dataclass(frozen=True, slots=True)
class Job:
    """A planned conversion."""

    request: Request
    model: Model
    targets: tuple[Target, ...]
    tensors: tuple[Tensor, ...]  # in the order of the files
    imatrix: Imatrix | None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(target.size for target in self.targets)


def prepare(request: Request, *, weights: bool = True) -> Job:
    """Open, check and plan.

    Args:
        request: what is asked for.
        weights: False does not download a repository's weights; the job can be shown then, not run.

    Raises:
        ConversionError: something does not fit, or is not known; says which.
        ModelError: the hub does not have the model, or cannot be reached.
        SettingsError: a pre-tokenizer is named for a GGUF file that has another one.
    """
    _check(request)
    model = open_model(request, weights=weights)
    imatrix = None if request.imatrix is None else read_imatrix(request.imatrix)
    keys = model.keys if imatrix is None else _with_imatrix(model.keys, imatrix)
    pattern = request.name or f"{model.label.rpartition('/')[2]}-{TYPE}.gguf"
    targets = plan(
        keys,
        model.weights.tensors,
        {ftype: pattern.replace(TYPE, ftype) for ftype in request.ftypes},
        None if imatrix is None else imatrix.weights,
        request.max_bytes,
    )
    by_name = {tensor.name: tensor for tensor in model.weights.tensors}
    if request.verify:
        check_vocabulary(keys, model.probes)
    return Job(
        request,
        model,
        tuple(targets),
        tuple(by_name[name] for name in targets[0].types),
        imatrix,
    )


def _check(request: Request) -> None:
    unknown = [ftype for ftype in request.ftypes if ftype not in FTYPES]
    if unknown:
        raise ConversionError(
            f"There is no type {', '.join(unknown)}. The types are: {', '.join(FTYPES)}."
        )
    if not request.ftypes:
        raise ConversionError("No type is asked for. Give --quant TYPE or --preset NAME.")
    if not 0 < (request.context_length or 1) < MAX_CONTEXT:
        raise ConversionError(f"A context of {request.context_length} tokens is too long.")
    if len(set(request.ftypes)) < len(request.ftypes):
        raise ConversionError(f"A type is asked for twice: {', '.join(request.ftypes)}.")
    if request.merge_base not in ASKED_BASES:
        raise ConversionError(
            f"There is no merge base {request.merge_base}. There are: {', '.join(ASKED_BASES)}."
        )
    if request.merge_base not in ("auto", "original") and request.adapter is None:
        raise ConversionError("--merge-base says what an adapter is merged into: give --adapter.")
    if request.pre == "":
        raise ConversionError("--pre is empty. Leave it out, or give llama.cpp's name.")
    if (pattern := request.name) is not None:
        if Path(pattern).name != pattern or not pattern.endswith(".gguf"):
            raise ConversionError(f"{pattern!r} is no file name that ends in .gguf.")
        if TYPE not in pattern and len(request.ftypes) > 1:
            raise ConversionError(f"{pattern!r} has no {TYPE}, and there are several types.")


def _with_imatrix(keys: Keys, imatrix: Imatrix) -> Keys:
    """What llama.cpp's quantizer notes of an imatrix."""
    text, number = Kind.STRING, Kind.UINT32
    added = {
        "quantize.imatrix.file": Value(imatrix.file, text),
        "quantize.imatrix.dataset": Value(", ".join(imatrix.datasets), text),
        "quantize.imatrix.entries_count": Value(len(imatrix.weights), number),
        "quantize.imatrix.chunks_count": Value(imatrix.chunks, number),
    }
    return dict(keys) | {name: value for name, value in added.items() if value.value}
