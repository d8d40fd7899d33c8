"""Relay's published files: their names, their sizes, the sizes of their blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from relay_gguf.toml import parse_toml

from .memory import ModelSizes

DATA: Final = "catalogue.toml"


@dataclass(frozen=True, slots=True)
class Published:
    """A published file; `size` in bytes, rounded as on its page; `coarse` for 2 and 3-bit types."""

    repo: str
    file: str
    ftype: str
    size: int
    license: str
    model: ModelSizes
    coarse: bool = False

    @property
    def name(self) -> str:
        """The file as a model argument: `OWNER/NAME:TYPE`."""
        return f"{self.repo}:{self.ftype}"


@lru_cache(maxsize=1)
def catalogue() -> tuple[Published, ...]:
    """All published files, the best first."""
    table = parse_toml(files(__package__).joinpath(DATA).read_text("utf-8"))
    entries = {name: entry for name, entry in table.items() if isinstance(entry, dict)}
    return tuple(_published(table, ftype, entry) for ftype, entry in entries.items())


def _published(table: dict[str, Any], ftype: str, entry: dict[str, Any]) -> Published:
    file = table["file"].format(ftype=ftype)
    kinds = entry.get("layers", "0" * table["n_layers"])
    model = ModelSizes(
        name=file,
        blocks=tuple(entry["block"][int(kind)] for kind in kinds),
        embedding=entry["embedding"],
        output=entry["output"],
        kv_width=table["kv_width"],
        n_ctx_train=table["n_ctx_train"],
        n_embd=table["n_embd"],
        n_ff=table["n_ff"],
        n_vocab=table["n_vocab"],
    )
    size = round(entry["size"] * 1e9)
    coarse = entry.get("coarse", False)
    return Published(
        repo=table["repo"],
        file=file,
        ftype=ftype,
        size=size,
        license=table["license"],
        model=model,
        coarse=coarse,
    )
