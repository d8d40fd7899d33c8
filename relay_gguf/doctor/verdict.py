"""The verdict on this machine: looked up in a millisecond, or found by a self-test and kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from relay_gguf.disk import keep_value, kept_values
from relay_gguf.folders import cache_file

from .fingerprint import fingerprint
from .result import Verdict
from .self_test import SELFTEST, ask

N_KEPT: Final = 8
"""The number of kept verdicts: a home folder may serve several machines and environments."""


@cache
def verdict() -> Verdict:
    """The verdict on this machine, cached; empty if RELAY_SELFTEST is 0, so that all is used."""
    if os.environ.get(SELFTEST) == "0":
        return Verdict()
    return kept_or_asked(kept_path(), fingerprint(), ask)


def kept_or_asked(path: Path | None, key: str, ask: Callable[[], Verdict]) -> Verdict:
    """The verdict kept under a key; if there is none, the one that `ask` finds, kept from now on.

    Args:
        path: the file of kept verdicts; None if this user has no cache folder.
        key: of this machine and what it runs, `fingerprint()`.
        ask: runs the self-test.
    """
    found = looked_up(path, key)
    if found is None:
        found = ask()
        keep(path, key, found)
    return found


def renewed(
    *,
    thorough: bool = False,
    workers: Sequence[str] = (),
    on_device: Callable[[str], None] | None = None,
) -> Verdict:
    """Run the self-test now, and keep the verdict on this machine.

    Args:
        thorough: try the processor without extra buffers too, even if it works with them.
        workers: addresses of other machines to try; their results are not kept.
        on_device: called with the name of each device before it is tried.
    """
    found = ask(thorough=thorough, workers=workers, on_device=on_device)
    own = tuple(result for result in found.results if result.backend != "RPC")
    keep(kept_path(), fingerprint(), replace(found, results=own))
    return found


def kept_path() -> Path | None:
    """The file of kept verdicts; None if this user has no cache folder."""
    return cache_file("selftest.json")


def looked_up(path: Path | None, key: str) -> Verdict | None:
    """The verdict kept under a key; None if there is none, or the file is damaged."""
    if path is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return Verdict.from_json(kept_values(path)[key])
    return None


def keep(path: Path | None, key: str, found: Verdict) -> None:
    """Keep a verdict beside those of other machines; a folder that cannot be written is ignored.

    A verdict that may be another next time is not kept.
    """
    if path is None or not found.lasting:
        return
    keep_value(path, key, found.as_json(), N_KEPT)
