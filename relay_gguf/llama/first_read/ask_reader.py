"""Runs the child process that reads a file with llama.cpp, and tells how it ended."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay_gguf import child
from relay_gguf.doctor.result import KILLED
from relay_gguf.doctor.self_test import HIDE_GPUS, SELFTEST

log = logging.getLogger(__name__)

READER: Final = "relay_gguf.llama.first_read.reader"
PATIENCE: Final = 60.0
"""Seconds after which the child is given up: it reads headers, and no weights."""
MOST_SAID: Final = 300
"""Characters of llama.cpp's last line that are kept."""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """How llama.cpp got on with a file.

    `died` tells how it ended the process, `SIGABRT`; empty if it did not. `said` is its last line
    then, or why it refuses the file; empty if it reads it. `lasting`: it would be so again.
    """

    died: str = ""
    said: str = ""
    lasting: bool = True

    def as_json(self) -> dict[str, str]:
        """What is kept."""
        return {"died": self.died, "said": self.said}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> ReadResult:
        """What was kept.

        Raises:
            KeyError, TypeError: it is not a result.
        """
        died, said = found["died"], found["said"]
        if not isinstance(died, str) or not isinstance(said, str):
            raise TypeError("died and said must be texts")
        return cls(died, said)


def ask(
    paths: Sequence[Path],
    *,
    vocab_only: bool = False,
    module: str = READER,
    patience: float = PATIENCE,
) -> ReadResult:
    """Read a file, or its shards in order, in a child process.

    Args:
        paths: the file, or its shards.
        vocab_only: whether nothing but the vocabulary will be read.
        module: the module that the child runs.
        patience: seconds after which the child is given up.

    Raises:
        OSError: the child process cannot be started.
    """
    options = {"paths": [str(path.absolute()) for path in paths], "vocab_only": vocab_only}
    # What devices do is the self-test's to find out: the file is read without any.
    variables = {**HIDE_GPUS, SELFTEST: "0"}
    with tempfile.TemporaryFile() as heard:
        process = child.start(
            module, json.dumps(options), stderr=heard.fileno(), variables=variables
        )
        try:
            process.wait(patience)  # its stdin stays open, with which it would end
            out = process.stdout.read() if process.stdout is not None else b""
        except subprocess.TimeoutExpired:
            return ReadResult("no answer", f"it took more than {patience:g} seconds", lasting=False)
        finally:
            child.kill(process)
        heard.seek(0)
        noise = heard.read()
    if process.returncode == 0 and out.strip():
        told = json.loads(out.splitlines()[-1])
        if "trouble" in told:  # the file is read as if there were no child processes
            log.warning("A file could not be tried: %s", told["trouble"])
            return ReadResult(lasting=False)
        return ReadResult(said=str(told["refused"])[:MOST_SAID])
    how = child.died_of(process.returncode)
    return ReadResult(how, _last_line(noise), lasting=how != KILLED)


def _last_line(noise: bytes) -> str:
    """The last line that tells of an assertion or an uncaught exception, else the last of all."""
    lines = [line.strip() for line in noise.decode("utf-8", "replace").splitlines()]
    told = [line for line in lines if line]
    asserted = [line for line in told if "GGML_ASSERT" in line or "what():" in line]
    last = (asserted or told or ["it said nothing"])[-1]
    return re.sub(r"^\S*[/\\](?=\S+:\d+: )", "", last)[:MOST_SAID]  # not where it was compiled
