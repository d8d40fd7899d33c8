"""The sums of a run that is not finished, on the disk: a run that was stopped or killed goes on.

Beside the file that is to be made, replaced as a whole now and then; removed at the end.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np

from relay_gguf.disk import write_whole
from relay_gguf.errors import CalibrationError
from relay_gguf.llama.activations.collector import ColumnSums, Sums

ENDING: Final = ".unfinished"
ABOUT: Final = "about"
"""The entry that is not a weight's: what the sums are of."""


@dataclass(frozen=True, slots=True)
class UnfinishedSums:
    """The sums of the first `n_chunks` chunks; `identity` tells model and text."""

    identity: str
    n_chunks: int
    sums: Sums


def unfinished_path(out: Path) -> Path:
    """Where the sums for a file are kept."""
    return out.with_name(out.name + ENDING)


def read_unfinished(out: Path) -> UnfinishedSums | None:
    """What a stopped run left; None if there is nothing.

    Raises:
        CalibrationError: it is damaged, or cannot be read.
    """
    path = unfinished_path(out)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            about = json.loads(str(stored[ABOUT]))
            sums = {
                name: ColumnSums(stored[f"{name}/squares"], stored[f"{name}/counts"])
                for name in about["weights"]
            }
            return UnfinishedSums(str(about["identity"]), int(about["chunks"]), sums)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CalibrationError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CalibrationError(f"{path} is damaged; --restart begins anew without it.") from error


def keep_unfinished(out: Path, unfinished: UnfinishedSums) -> None:
    """Keep the sums so far, in place of those before.

    Raises:
        OSError: they cannot be written.
    """
    about = {
        "identity": unfinished.identity,
        "chunks": unfinished.n_chunks,
        "weights": list(unfinished.sums),
    }
    arrays = {ABOUT: np.array(json.dumps(about))}
    for name, entry in unfinished.sums.items():
        arrays[f"{name}/squares"], arrays[f"{name}/counts"] = entry.squares, entry.counts
    content = BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_whole(unfinished_path(out), content.getvalue())
