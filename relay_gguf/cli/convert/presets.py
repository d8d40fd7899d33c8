"""`relay-gguf presets`: the presets, and the sizes of their files for a model.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from relay_gguf.cli.options import Debug

if TYPE_CHECKING:
    from relay_gguf.quant_presets import Preset


@dataclass(frozen=True, slots=True)
class PresetSizes:
    """A preset, and the bytes of its file of each type; `model` names the model they are of."""

    preset: Preset
    sizes: Mapping[str, int]
    model: str


def presets(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Show sizes for this model: a folder, OWNER/NAME on the hub, or a GGUF file. "
            "[Mistral-Nemo, Relay's base]"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """List the presets of `convert`, with the sizes of their files.

    \b
    Examples:
      relay-gguf presets
      relay-gguf presets HuggingFaceTB/SmolLM2-135M
    """
    print_presets(preset_sizes(model), as_json=as_json)


def preset_sizes(model: str | None) -> list[PresetSizes]:
    """Every preset with the sizes of its files for a model.

    Args:
        model: a folder, `owner/name` on the hub or a GGUF file; None is Mistral-Nemo without its
            tokenizer.

    Raises:
        ConversionError: the model cannot be converted.
        ModelError: the GGUF file does not exist or is damaged, or the hub does not have the model
            or cannot be reached.
    """
    from relay_gguf import quant_presets
    from relay_gguf.convert.write.sizes import outline_model
    from relay_gguf.convert.write.targets import sizes

    metadata, tensors = outline_model(model)
    found = list(quant_presets.presets())
    wanted = dict.fromkeys(ftype for preset in found for ftype in preset.types)
    by_type = sizes(metadata, tensors, list(wanted))
    label = model or "Mistral-Nemo (12B)"
    return [PresetSizes(p, {ftype: by_type[ftype] for ftype in p.types}, label) for p in found]


def print_presets(found: Sequence[PresetSizes], *, as_json: bool) -> None:
    """Print the presets, as a table or as JSON."""
    if as_json:
        fields = [
            {"preset": p.preset.name, "description": p.preset.description, "bytes": dict(p.sizes)}
            for p in found
        ]
        typer.echo(json.dumps(fields, ensure_ascii=False))
        return
    for line in preset_lines(found):
        typer.echo(line)


def preset_lines(found: Sequence[PresetSizes]) -> Iterator[str]:
    """The presets as a table, with a line for each file."""
    from relay_gguf.display import one_line, size

    yield one_line(f"Sizes for {found[0].model}:")
    width = max(len(item.preset.name) for item in found)
    for item in found:
        yield ""
        yield f"{item.preset.name:{width}}  {item.preset.description}"
        for ftype, n_bytes in item.sizes.items():
            yield f"{'':{width}}  {ftype:7} {size(n_bytes):>8}"
