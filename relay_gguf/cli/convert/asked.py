"""The request that the options of `relay-gguf convert` make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relay_gguf.errors import SettingsError

if TYPE_CHECKING:
    from relay_gguf.convert.budget.size_target import SizeTarget
    from relay_gguf.convert.quantize.overrides import TypeOverrides
    from relay_gguf.convert.request import Request


def asked(
    *,
    base: str,
    adapter: str | None,
    quant: Sequence[str],
    preset: str | None,
    name: str | None,
    merge_base: str,
    context_length: int | None,
    imatrix: Path | None,
    overrides: TypeOverrides,
    target: SizeTarget | None,
    split_max_size: str | None,
    pre: str | None,
    template: str,
    allow_nonfinite: bool,
    allow_requantize: bool,
    verify: bool,
    keep_source: bool,
) -> Request:
    """The request that the options make; they precede the values of a preset."""
    from relay_gguf.convert.budget.size_target import parse_size
    from relay_gguf.convert.metadata import MetadataOverride
    from relay_gguf.convert.read.source import ASKED_BASES
    from relay_gguf.convert.request import TEMPLATES, Request
    from relay_gguf.quant_presets import load_preset

    found = None if preset is None else load_preset(preset)
    types = [ftype.upper() for ftype in quant] or list(found.types if found else ())
    bases = [known for known in ASKED_BASES if known == merge_base]
    if not bases:
        raise SettingsError(f"--merge-base is {merge_base!r}; it may be {', '.join(ASKED_BASES)}.")
    templates = [known for known in TEMPLATES if known == template]
    if not templates:
        raise SettingsError(f"--template is {template!r}; it may be {', '.join(TEMPLATES)}.")
    max_bytes = None
    if split_max_size is not None:
        max_bytes = parse_size(split_max_size, "--split-max-size", "4G or 500M")
    return Request(
        base=base,
        ftypes=tuple(types),
        adapter=adapter,
        name=name or (found.file if found else "") or None,
        metadata=found.metadata if found else MetadataOverride(),
        merge_base=bases[0],
        context_length=context_length or (found.context_length if found else None),
        pre=pre,
        imatrix=imatrix,
        overrides=overrides,
        size_target=target,
        max_bytes=max_bytes,
        allow_nonfinite=allow_nonfinite,
        verify=verify,
        template=templates[0],
        allow_requantize=allow_requantize,
        keep_source=keep_source,
    )
