"""Where a model comes from: what the `relay.*` keys of its files and their reports say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gguf import GGUFWriter

from .arch.weights import GgufWeights
from .read.source import AdapterSource, MergeChoice


def base_label(label: str, given: AdapterSource) -> str:
    """The base's name: `owner/name` in the adapter's config, if `label` is the `name` in it."""
    known = str(given.adapter.config.get("base_model_name_or_path") or "")
    owner, _, name = known.rpartition("/")
    is_repo = bool(owner) and not owner.startswith((".", "/", "~")) and "/" not in owner
    return known if is_repo and name == label else label


def merge_origin(given: AdapterSource, choice: MergeChoice, sha256: str) -> dict[str, str]:
    """The origin of a merge, for the file's metadata and the report.

    `sha256` is the adapter's fingerprint.
    """
    return {
        "adapter": given.address,
        "adapter_sha256": sha256,
        "merge_base": choice.base,
        "merge_reason": choice.reason,
    }


def add_origin(writer: GGUFWriter, origin: Mapping[str, str]) -> None:
    """Add each as `relay.NAME`."""
    for name, value in origin.items():
        writer.add_string(f"relay.{name}", value)


def requantized(weights: GgufWeights) -> dict[str, str]:
    """The type of a GGUF file that is quantized; empty if it is not."""
    kind = weights.quantized_as
    return {} if kind is None else {"base_type": kind}


def requantizing(path: Path, found: Mapping[str, str]) -> Iterator[str]:
    """What a user should know of a base that is quantized, by `requantized`."""
    if found:
        yield (
            f"{path.name} is quantized ({found['base_type']}): its errors are in the new files too."
        )
