"""A base on the hub that is read where it is: the files are the same, and it is never stored."""

from __future__ import annotations

from pathlib import Path

from conversions import converted
from hub_server import Handler, Repos

from relay_gguf.convert.request import Request


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.gguf")}


def n_fetched(hub: type[Handler]) -> int:
    return sum(n_bytes for _, _, n_bytes in hub.given)


def test_the_files_are_those_of_the_folder(
    wanted: Request, whole: Path, hub: type[Handler], repos: Repos, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    converted(wanted, out)
    assert files_of(out) == files_of(whole)
    weights = sum(len(c) for name, c in repos["o/base"].items() if name.endswith(".safetensors"))
    assert n_fetched(hub) <= 1.02 * weights
    assert not hub.leaked
    assert not list(tmp_path.rglob("*.safetensors")), "neither in the cache nor in the folder"
    blobs = [path.stat().st_size for path in (tmp_path / "hf").rglob("blobs/*")]
    assert max(blobs) < 200_000
