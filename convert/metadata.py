"""`general.*` of a file: name, origin, license, sampling defaults, who quantized it.

What llama.cpp's converter takes from model card, config and folder name (Metadata of its gguf
package), then the adapter's, the preset's and our own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from gguf import GGUFType, GGUFWriter, Metadata, size_label

from relay_gguf.gguf_file.header import Keys
from relay_gguf.version import __version__

SAMPLING: Final = {
    "temperature": "sampling_temp",
    "top_k": "sampling_top_k",
    "top_p": "sampling_top_p",
    "min_p": "sampling_min_p",
    "repetition_penalty": "sampling_penalty_repeat",
    "penalty_last_n": "sampling_penalty_last_n",
    "sequence": "sampling_sequence",
}
"""Settings of generation_config.json and of presets → fields of Metadata."""
RELAY_SAMPLING: Final[Mapping[str, float | str]] = {
    "temperature": 0.3,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "penalty_last_n": 4096,  # the whole context; -1 is off in llama.cpp
    "sequence": "penalties;temperature;top_k;top_p;min_p",
}
"""What the original samples with, in its order."""
CARD_FIELDS: Final = (
    *("name", "author", "version", "organization", "finetune", "basename", "description"),
    *("url", "license", "license_name", "license_link", "tags", "languages"),
)
"""Fields of Metadata that a preset may set as they are."""
HUB: Final = "https://huggingface.co/"

for _name in ("metadata", "gguf"):  # the package warns of what it corrects; --debug shows it
    logging.getLogger(_name).addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Card:
    """What a preset or a user says of the model, before anything that is found."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    base_model: str = ""
    datasets: tuple[str, ...] = ()
    sampling: Mapping[str, float | str] = field(default_factory=dict)


def add_keys(
    writer: GGUFWriter,
    card: Card,
    n_parameters: int,
    *,
    label: str,
    folder: Path,
    base: tuple[str, Metadata] | None = None,
) -> None:
    """Write `general.*`.

    Args:
        writer: takes the keys.
        card: what was said.
        n_parameters: of the model.
        label: the model's or adapter's `owner/name`, or the name of its folder.
        folder: of the model, or of the adapter.
        base: label of the adapter's base, and what that says of itself.
    """
    metadata = of_folder(label, folder, n_parameters)
    if base is not None:
        _inherit(metadata, base[1], base[0])
    _set_said(metadata, card)
    metadata.name = metadata.name or label
    if metadata.size_label is None and n_parameters > 0:
        metadata.size_label = size_label(n_parameters, n_parameters, 0, 0)
    writer.add_type(GGUFType.MODEL)
    metadata.set_gguf_meta_model(writer)


def said(card: Card) -> GGUFWriter:
    """A writer with what a preset or a user says of a model that has its keys, and nothing else."""
    metadata = Metadata(name="")
    _set_said(metadata, card)
    writer = GGUFWriter(None, "llama")
    metadata.set_gguf_meta_model(writer)
    return writer


def _set_said(metadata: Metadata, card: Card) -> None:
    for name, value in card.fields.items():
        setattr(metadata, name, value)
    if card.base_model:
        metadata.base_models = [_entry(card.base_model)]
    if card.datasets:
        metadata.datasets = [_entry(dataset, "datasets/") for dataset in card.datasets]
    for name, number in card.sampling.items():
        setattr(metadata, SAMPLING[name], number)
    metadata.quantized_by = f"relay-gguf {__version__}"


def of_folder(label: str, folder: Path, n_parameters: int) -> Metadata:
    """What card, config and name say.

    The name is `label`'s and not the folder's, which in the hub's cache is a commit.
    """
    found = Metadata.apply_metadata_heuristic(
        Metadata(),
        _front_matter(folder),
        Metadata.load_hf_parameters(folder),
        Path(label),
        n_parameters,
    )
    generation = Metadata.load_generation_config(folder) or {}
    for setting, name in SAMPLING.items():
        if generation.get(setting) is not None:
            setattr(found, name, generation[setting])
    return found


def of_keys(label: str, keys: Keys, n_parameters: int) -> Metadata:
    """What a GGUF file's name says, and its keys do of license, languages and tags."""
    found = Metadata.apply_metadata_heuristic(Metadata(), {}, {}, Path(label), n_parameters)
    said = {name: key.value for name, key in keys.items()}
    found.license = said.get("general.license")
    found.license_name = said.get("general.license.name")
    found.license_link = said.get("general.license.link")
    found.languages = said.get("general.languages")
    found.tags = said.get("general.tags")
    return found


def _front_matter(folder: Path) -> dict[str, Any]:
    """The model card's YAML; a card that is damaged says nothing."""
    try:
        return Metadata.load_model_card(folder)
    except (OSError, ValueError, yaml.YAMLError):
        return {}


def _inherit(metadata: Metadata, base: Metadata, label: str) -> None:
    """What an adapter leaves out and its base says; and where it comes from."""
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
    """A base model or data set, by its `owner/name` on the hub."""
    owner, slash, name = repo.rpartition("/")
    title = (name or repo).replace("-", " ")
    return {"name": title} | (
        {"organization": owner, "repo_url": f"{HUB}{kind}{repo}"} if slash else {}
    )
