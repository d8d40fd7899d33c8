"""The request for a conversion: what a user asks for, before anything is opened or checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from .budget.size_target import SizeTarget
from .metadata import MetadataOverride
from .quantize.overrides import TypeOverrides
from .read.source import AskedBase

Template = Literal["relay", "keep"]

TEMPLATES: Final[tuple[Template, ...]] = get_args(Template)
TYPE: Final = "{type}"
"""Stands for the file type in a pattern of file names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A base, maybe an adapter, and the files to make of them."""

    base: str
    """A folder of safetensors, `owner/name[@revision][/folder]` on the hub, or a GGUF file."""
    ftypes: tuple[str, ...]
    """File types, keys of `FTYPES`."""
    adapter: str | None = None
    """The folder of a LoRA adapter, its GGUF file, or either on the hub."""
    name: str | None = None
    """The pattern of file names, with `{type}` in it; None takes the model's name."""
    metadata: MetadataOverride = field(default_factory=MetadataOverride)
    merge_base: AskedBase = "auto"
    context_length: int | None = None
    """Tokens of context that the files claim; None takes the config's number."""
    pre: str | None = None
    """llama.cpp's name of the pre-tokenizer; None looks it up."""
    imatrix: Path | None = None
    overrides: TypeOverrides = field(default_factory=TypeOverrides)
    """Types of tensors in place of llama.cpp's choice."""
    size_target: SizeTarget | None = None
    """The size of one more file, whose types are chosen so that least is damaged."""
    max_bytes: int | None = None
    """The most bytes of tensors in a file; None does not split."""
    allow_nonfinite: bool = False
    """Convert NaN and infinity too."""
    verify: bool = True
    """Read the files back and let llama.cpp open them."""
    template: Template = "relay"
    """The chat template: Relay's, or keep the tokenizer's own."""
    allow_requantize: bool = False
    """Accept a quantized GGUF file as base."""
    keep_source: bool = False
    """Download a base of the hub into its cache first; else it is read where it is."""

    def pattern(self, label: str) -> str:
        """The pattern of file names, with `TYPE` in it.

        Args:
            label: of the model, `owner/name` or a folder's name, after which files are called if
                nothing else is asked for.
        """
        return self.name or f"{label.rpartition('/')[2]}-{TYPE}.gguf"
