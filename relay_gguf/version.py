"""The version of this program, and of the packages that are installed beside it.

`__version__` is looked up when it is asked for: reading a package's metadata takes a third of the
time that `relay-gguf --help` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str


def installed_version(package: str) -> str:
    """The version of an installed package; empty if it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return installed_version("relay-gguf") or "0"  # "0" in a source tree that is not installed
