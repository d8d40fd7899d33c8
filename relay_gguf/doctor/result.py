"""The results of the self-test by device, and the verdict: which devices can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Outcome = Literal["works", "wrong", "died", "silent", "failed"]

CPU: Final = "CPU"
NO_AMX: Final = "CPU, no AMX"
"""The processor with repacked weights, but without AMX (see `llama.amx`)."""
PLAIN_CPU: Final = "CPU, plain"
"""The processor without llama.cpp's extra buffers: without AMX, and without repacked weights."""
PROCESSOR: Final = (CPU, NO_AMX, PLAIN_CPU)
"""Ways of using the processor, the fastest first."""
TOLERANCE: Final = 0.05
"""The error of a device's logits at most: root mean square, as a share of the reference's standard
deviation. llama.cpp quantizes activations to 8 bits, which costs 0.3 to 2.5 % here; a device that
computes one tensor of ten wrong is off by 30 % and more."""
KILLED: Final = "SIGKILL"
"""No library ends a process with it: it was the system, for lack of memory, or a person."""
FAR_OFF: Final = 100.0
"""The largest error that is recorded; NaN counts as this."""


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """The result of a device.

    works: its logits are right. wrong: they are not. died: llama.cpp ended the process. silent: no
    answer in time, or killed from outside, as a machine does that is short of memory. failed:
    llama.cpp reported an error.
    """

    device: str  # CPU, CUDA0
    outcome: Outcome
    detail: str = ""  # SIGSEGV at several tokens of Q4_K
    description: str = ""  # NVIDIA GeForce RTX 3060
    backend: str = ""  # CPU, CUDA, Metal
    buffers: tuple[str, ...] = ()  # that held the weights: AMX, CPU_REPACK
    error: float = 0.0  # the largest of all types, as a share of the logits' standard deviation
    batch: float = 0.0  # seconds for several tokens, of the slowest type
    token: float = 0.0  # seconds for one token

    @property
    def works(self) -> bool:
        """Whether it computes what it should."""
        return self.outcome == "works"

    @property
    def usable(self) -> bool:
        """Whether it works, or is the processor and had no time to show it."""
        return self.works or (self.device in PROCESSOR and self.outcome == "silent")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The results of all devices.

    `trouble` is why none could be tried: the library cannot be loaded, the disk is full. `fatal`
    says how llama.cpp ended the process before any device was tried.
    """

    results: tuple[DeviceResult, ...] = ()
    trouble: str = ""
    fatal: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that hide all GPUs; not empty if looking for GPUs ended the process."""

    def of(self, device: str) -> DeviceResult | None:
        """The result of a device; None if it was not tried."""
        return next((found for found in self.results if found.device == device), None)

    @property
    def processor(self) -> str | None:
        """The fastest way of using the processor that works; None if no way works.

        `CPU` if no way was tried and llama.cpp did not end the process.
        """
        tried = [found for name in PROCESSOR if (found := self.of(name)) is not None]
        if not tried:
            return None if self.fatal else CPU
        return next((found.device for found in tried if found.usable), None)

    @property
    def lasting(self) -> bool:
        """Whether the verdict will hold next time.

        Not if llama.cpp could not be loaded or tested, if the processor had no time, or if a
        process was killed from outside.
        """
        silent = [found for found in self.results if found.outcome == "silent"]
        passing = any(found.device in PROCESSOR or KILLED in found.detail for found in silent)
        return not self.trouble and not self.fatal and not passing

    @property
    def broken(self) -> frozenset[str]:
        """The names of GPUs that must not be used."""
        others = (found for found in self.results if found.device not in PROCESSOR)
        return frozenset(found.device for found in others if not found.works)

    def as_json(self) -> dict[str, Any]:
        """The verdict as `from_json` takes it; in files the results are called `findings`."""
        fields = asdict(self)
        return {"findings": fields.pop("results"), **fields}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Verdict:
        """A verdict from the JSON object of a file.

        Raises:
            KeyError, TypeError, ValueError: it is not a verdict.
        """
        found = [DeviceResult(**{**f, "buffers": tuple(f["buffers"])}) for f in table["findings"]]
        hidden = {str(name): str(value) for name, value in table["hidden"].items()}
        return cls(tuple(found), str(table["trouble"]), str(table["fatal"]), hidden)
