"""The `general.*` metadata of a file: name, origin, license, sampling defaults, who quantized it.

It is made as llama.cpp's converter makes it, from model card, config and folder name (`Metadata` of
the gguf package); then come the adapter's, the preset's and relay-gguf's own values.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gguf
from gguf import GGUFType, GGUFWriter, size_label

from relay_gguf.fit.memory import DEFAULT_N_CTX
from relay_gguf.gguf_file.header import Metadata
from relay_gguf.sampling import DEFAULTS
from relay_gguf.version import __version__

from .written_values import front_matter, json_object, keep_valid, sampling_value

SAMPLING: Final = {
    "temperature": "sampling_temp",
    "top_k": "sampling_top_k",
    "top_p": "sampling_top_p",
    "min_p": "sampling_min_p",
    "repetition_penalty": "sampling_penalty_repeat",
    "penalty_last_n": "sampling_penalty_last_n",
    "sequence": "sampling_sequence",
}
"""Settings of generation_config.json and of presets → fields of gguf's `Metadata`."""
RELAY_SAMPLING: Final[Mapping[str, float | str]] = {
    "temperature": DEFAULTS.temperature,
    "top_k": DEFAULTS.top_k,
    "top_p": DEFAULTS.top_p,
    "min_p": DEFAULTS.min_p,
    "repetition_penalty": DEFAULTS.repeat_penalty,
    "penalty_last_n": DEFAULT_N_CTX,  # the whole context; -1 is off in llama.cpp
    "sequence": "penalties;temperature;top_k;top_p;min_p",
}
"""The sampling settings of the original program, and the order of its samplers."""
OVERRIDABLE: Final = (
    *("name", "author", "version", "organization", "finetune", "basename", "description"),
    *("url", "license", "license_name", "license_link", "tags", "languages"),
)
"""Fields of gguf's `Metadata` that a preset may set as they are."""
HUB: Final = "https://huggingface.co/"

for _name in ("metadata", "gguf"):  # the package warns of what it corrects; --debug shows it
    logging.getLogger(_name).addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class MetadataOverride:
    """Values by a preset or a user, which precede all values that are found."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """`OVERRIDABLE` fields and their values."""
    base_model: str = ""
    datasets: tuple[str, ...] = ()
    """Names on the hub, as `base_model` is one."""
    sampling: Mapping[str, float | str] = field(default_factory=dict)
    """Sampling defaults, with keys of `SAMPLING`."""


def add_general_metadata(
    writer: GGUFWriter,
    override: MetadataOverride,
    n_parameters: int,
    *,
    label: str,
    metadata: gguf.Metadata,
    base: tuple[str, gguf.Metadata] | None = None,
) -> None:
    """Add `general.*`.

    Args:
        writer: takes the metadata.
        override: values that precede those that were found.
        n_parameters: of the model.
        label: the model's or adapter's `owner/name`, or the name of its folder.
        metadata: found for the model, or for the adapter; is changed.
        base: label of the adapter's base, and the metadata found for it.
    """
    if base is not None:
        _inherit(metadata, base[1], base[0])
    _apply(override, metadata)
    metadata.name = metadata.name or label
    if metadata.size_label is None and n_parameters > 0:
        metadata.size_label = size_label(n_parameters, n_parameters, 0, 0)
    writer.add_type(GGUFType.MODEL)
    metadata.set_gguf_meta_model(writer)


def overrides_alone(override: MetadataOverride) -> GGUFWriter:
    """A writer with a user's values and nothing else, for a file that has its metadata already."""
    metadata = gguf.Metadata(name="")
    _apply(override, metadata)
    writer = GGUFWriter(None, "llama")
    metadata.set_gguf_meta_model(writer)
    return writer


def _apply(override: MetadataOverride, metadata: gguf.Metadata) -> None:
    for name, value in override.fields.items():
        setattr(metadata, name, value)
    if override.base_model:
        metadata.base_models = [_entry(override.base_model)]
    if override.datasets:
        metadata.datasets = [_entry(dataset, "datasets/") for dataset in override.datasets]
    for name, number in override.sampling.items():
        setattr(metadata, SAMPLING[name], number)
    metadata.quantized_by = f"relay-gguf {__version__}"


def of_folder(label: str, folder: Path, n_parameters: int) -> gguf.Metadata:
    """The metadata in a folder's model card, config and generation_config.json, and in `label`.

    The name is taken from `label` and not from the folder, which in the hub's cache is a commit.
    """
    named = json_object(folder / "config.json").get("_name_or_path")
    found = gguf.Metadata.apply_metadata_heuristic(
        gguf.Metadata(),
        front_matter(folder),
        {"_name_or_path": named} if isinstance(named, str) else {},
        Path(label),
        n_parameters,
    )
    generation = json_object(folder / "generation_config.json")
    for setting, name in SAMPLING.items():
        if (value := sampling_value(setting, generation.get(setting))) is not None:
            setattr(found, name, value)
    return keep_valid(found)


def of_file(label: str, metadata: Metadata, n_parameters: int) -> gguf.Metadata:
    """The name in `label`, and license, languages and tags of a GGUF file's metadata."""
    found = gguf.Metadata.apply_metadata_heuristic(
        gguf.Metadata(), {}, {}, Path(label), n_parameters
    )
    values = {key: value.value for key, value in metadata.items()}
    found.license = values.get("general.license")
    found.license_name = values.get("general.license.name")
    found.license_link = values.get("general.license.link")
    found.languages = values.get("general.languages")
    found.tags = values.get("general.tags")
    return keep_valid(found)


def _inherit(metadata: gguf.Metadata, base: gguf.Metadata, label: str) -> None:
    """Take license, languages and tags of the base where the adapter has none; name the base."""
    for name in ("license", "license_name", "license_link", "languages", "tags"):
        if getattr(metadata, name) is None:
            setattr(metadata, name, getattr(base, name))
    if not metadata.base_models:
        entry = {"name": base.name or label}
        for name in ("organization", "version"):
            if getattr(base, name) is not None:
                entry[name] = getattr(base, name)
        metadata.base_models = [entry | ({"repo_url": HUB + label} if "/" in label else {})]


def _entry(repo: str, kind: str = "") -> dict[str, str]:
    """A base model or data set as gguf describes it, by its `owner/name` on the hub."""
    owner, slash, name = repo.rpartition("/")
    title = (name or repo).replace("-", " ")
    return {"name": title} | (
        {"organization": owner, "repo_url": f"{HUB}{kind}{repo}"} if slash else {}
    )
