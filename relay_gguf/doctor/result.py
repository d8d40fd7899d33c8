"""What became of each device in the self-test, and what follows for the program."""

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
"""Of the logits' deviation, the root mean square that a device's may be off the reference's.
llama.cpp quantizes activations to 8 bits, which costs 0.3 to 2.5 % here; what computes wrong is off
by 30 % and more if only one tensor of ten is wrong."""
KILLED: Final = "SIGKILL"
"""No library ends a process so: it was the system, for lack of memory, or a person."""
FAR_OFF: Final = 100.0
"""What an error is at most, NaN included."""


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """A device that was tried.

    works: right numbers. wrong: other numbers than the reference's. died: it ended the process.
    silent: no answer in time, or killed from outside, as a machine does that is short of memory.
    failed: llama.cpp said that it cannot.
    """

    device: str  # CPU, CUDA0
    outcome: Outcome
    detail: str = ""  # SIGSEGV at several tokens of Q4_K
    description: str = ""  # NVIDIA GeForce RTX 3060
    backend: str = ""  # CPU, CUDA, Metal
    buffers: tuple[str, ...] = ()  # where its weights were: AMX, CPU_REPACK
    error: float = 0.0  # the largest of all types, as a share of the logits' deviation
    batch: float = 0.0  # seconds for several tokens, of the slowest type
    token: float = 0.0  # seconds for one token

    @property
    def works(self) -> bool:
        """It computes what it should."""
        return self.outcome == "works"

    @property
    def usable(self) -> bool:
        """It works, or is the processor and was not given the time to show it."""
        return self.works or (self.device in PROCESSOR and self.outcome == "silent")


@dataclass(frozen=True, slots=True)
class Verdict:
    """All devices that were tried.

    `trouble` is why nothing could be tried: the library cannot be loaded, the disk is full. `fatal`
    says how llama.cpp ended the process before any device was tried.
    """

    results: tuple[DeviceResult, ...] = ()
    trouble: str = ""
    fatal: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that hide all GPUs: set, since asking for GPUs ended the process."""

    def of(self, device: str) -> DeviceResult | None:
        """What was found of a device; None if it was not tried."""
        return next((found for found in self.results if found.device == device), None)

    @property
    def processor(self) -> str | None:
        """The fastest way of using the processor that works; the usual one if none was tried, and
        None if none of those that were tried works."""
        tried = [found for name in PROCESSOR if (found := self.of(name)) is not None]
        if not tried:
            return None if self.fatal else CPU
        return next((found.device for found in tried if found.usable), None)

    @property
    def lasting(self) -> bool:
        """Whether it holds next time too: not if llama.cpp could not be loaded or tested, or the
        processor had no time, or a process was killed from outside."""
        silent = [found for found in self.results if found.outcome == "silent"]
        passing = any(found.device in PROCESSOR or KILLED in found.detail for found in silent)
        return not self.trouble and not self.fatal and not passing

    @property
    def broken(self) -> frozenset[str]:
        """GPUs that must not be used."""
        others = (found for found in self.results if found.device not in PROCESSOR)
        return frozenset(found.device for found in others if not found.works)

    def as_json(self) -> dict[str, Any]:
        """The verdict as `from_json` takes it; in files the results are called `findings`."""
        fields = asdict(self)
        return {"findings": fields.pop("results"), **fields}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Verdict:
        """From a file.

        Raises:
            KeyError, TypeError, ValueError: it is no verdict.
        """
        found = [DeviceResult(**{**f, "buffers": tuple(f["buffers"])}) for f in table["findings"]]
        hidden = {str(name): str(value) for name, value in table["hidden"].items()}
        return cls(tuple(found), str(table["trouble"]), str(table["fatal"]), hidden)
