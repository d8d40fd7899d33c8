"""Runs the child process that tries every device, and again without the devices that end it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from relay_gguf import child
from relay_gguf.machine.cpu import has_amx

from .result import (
    CPU,
    FAR_OFF,
    KILLED,
    NO_AMX,
    PLAIN_CPU,
    PROCESSOR,
    TOLERANCE,
    DeviceResult,
    Outcome,
    Verdict,
)

SELFTEST: Final = "RELAY_SELFTEST"
"""An environment variable: 0 uses every device untested. It is set in the child."""
TRIAL: Final = "relay_gguf.llama.trial"
LOOKING: Final = ("workers", "devices")
"""Stages before any device is tried."""
MOST_RUNS: Final = 12
HIDE_GPUS: Final = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "ROCR_VISIBLE_DEVICES": "-1",
    "GGML_DISABLE_VULKAN": "1",
    "GGML_METAL_DEVICES": "0",
    "ONEAPI_DEVICE_SELECTOR": "none:*",
}
"""Environment variables that keep each backend from looking for GPUs."""

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds without a line after which the child is ended, or the user is told why it takes long.

    A GPU's driver may compile kernels.
    """

    processor: float = 20.0
    gpu: float = 300.0
    telling: float = 3.0


@dataclass
class Run:
    """A run of the child: what it was about to do when it ended, and how it ended."""

    stage: str = "import"
    device: str = ""
    doing: str = "starting"
    trouble: str = ""  # its own words on why it could not go on
    ended: str = ""  # died, silent; empty if it finished
    how: str = ""  # SIGSEGV


def ask(
    *,
    thorough: bool = False,
    workers: Sequence[str] = (),
    on_device: Callable[[str], None] | None = None,
    module: str = TRIAL,
    patience: Patience | None = None,
    amx: bool | None = None,
) -> Verdict:
    """Try every device in child processes.

    Args:
        thorough: try the processor without extra buffers too, even if it works with them.
        workers: addresses of other machines, which must answer; tried as GPUs.
        on_device: called with the name of each device before it is tried.
        module: the module that the child runs.
        patience: None for the usual one.
        amx: whether the processor has AMX; None to look.
    """
    amx = has_amx() if amx is None else amx
    found: dict[str, DeviceResult] = {}
    hidden: dict[str, str] = {}
    for _ in range(MOST_RUNS):
        ways = _untried(found, thorough, amx)
        options = {"skip": [*found], "processor": ways, "workers": [*workers]}
        try:
            run = _run(
                options,
                hidden,
                found=found,
                on_device=on_device,
                module=module,
                patience=patience or Patience(),
            )
        except OSError as error:  # no process, or no room for the model
            return Verdict(trouble=f"The self-test cannot be run: {error}.")
        if run.trouble:
            return Verdict(trouble=run.trouble)
        if run.ended and workers and (run.stage in LOOKING or run.device.startswith("RPC")):
            workers = ()  # one that has failed is not there next time, and says nothing of us
            if run.stage in LOOKING:
                found["RPC"] = DeviceResult(
                    "RPC", "died", f"{run.how} while {run.doing}", backend="RPC"
                )
                continue
        if run.ended and run.stage != "device":
            if run.how == KILLED or run.ended == "silent":
                return Verdict(trouble=f"The self-test ended: {_ended(run)} while {run.doing}.")
            if run.stage == "import" or hidden:
                return Verdict(fatal=f"{_ended(run)} while {run.doing}")
            hidden = dict(HIDE_GPUS)  # a driver that is half there, most likely
            continue
        if run.ended:
            detail = f"{run.how} at {run.doing}".strip()
            silent = run.ended == "silent" or run.how == KILLED
            outcome: Outcome = "silent" if silent else "died"
            known = found.get(run.device) or DeviceResult(run.device, outcome)
            found[run.device] = replace(known, outcome=outcome, detail=detail)
        elif not _untried(found, thorough, amx):
            break
    return Verdict(tuple(found.values()), hidden=hidden)


def _code(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a child that has said all; if it does not end by itself, it is ended."""
    try:
        return process.wait(child.EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill(process)
        return 0


def _untried(found: Mapping[str, DeviceResult], thorough: bool, amx: bool) -> list[str]:
    """The ways of using the processor to try next: slower ones if the faster ones failed."""
    plain = [PLAIN_CPU] if thorough and PLAIN_CPU not in found else []
    if CPU not in found:
        return [CPU, *plain]
    if any(name in found and found[name].usable for name in PROCESSOR):
        return plain
    ways = [NO_AMX, PLAIN_CPU] if amx else [PLAIN_CPU]
    return next(([way] for way in ways if way not in found), [])


def _ended(run: Run) -> str:
    return "it gave no answer" if run.ended == "silent" else f"it died of {run.how}"


def _run(
    options: Mapping[str, Any],
    hidden: Mapping[str, str],
    found: dict[str, DeviceResult],
    on_device: Callable[[str], None] | None,
    module: str,
    patience: Patience,
) -> Run:
    """Start the child and add results to `found`, until it has tried everything or ends."""
    run = Run()
    with tempfile.TemporaryDirectory(prefix="relay-gguf-") as folder:
        process = child.start(
            module,
            json.dumps({**options, "folder": folder}),
            stderr=subprocess.DEVNULL,
            variables={**hidden, SELFTEST: "0"},
        )
        try:
            for line in _lines(process, run, patience):
                _take(line, run, found, on_device)
        except BaseException:
            run.ended = "died"
            raise
        finally:
            if run.ended:
                process.kill()
            code = _code(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
    if code and not run.ended and not run.trouble:
        run.ended, run.how = "died", child.died_of(code)
    return run


def _lines(process: subprocess.Popen[bytes], run: Run, patience: Patience) -> Iterator[Line]:
    """The lines of the child, until it ends or is silent for too long."""
    said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process, said), daemon=True).start()
    told = False
    while True:
        limit = patience.processor if run.device in ("", *PROCESSOR) else patience.gpu
        end = time.monotonic() + limit
        raw: bytes | None = b""
        while raw == b"":
            try:
                raw = said.get(timeout=patience.telling)
            except queue.Empty:
                told = told or _tell(run)
                if time.monotonic() > end:
                    run.ended = "silent"
                    return
        if raw is None:
            return
        with suppress(ValueError):  # a backend that prints to stdout all the same
            line = json.loads(raw)
            if isinstance(line, dict):
                yield line


def _read(process: subprocess.Popen[bytes], said: queue.SimpleQueue[bytes | None]) -> None:
    if process.stdout is not None:
        with suppress(ValueError, OSError):  # closed, since the child was given up
            for raw in process.stdout:
                said.put(raw)
    said.put(None)


def _tell(run: Run) -> bool:
    """Tell the user on a terminal what takes so long; True, always."""
    if sys.stderr is not None and sys.stderr.isatty():
        what = f"{run.device}: {run.doing}" if run.device else run.doing
        sys.stderr.write(f"Testing once what llama.cpp can do on this machine ({what}) ...\n")
    return True


def _take(
    line: Line, run: Run, found: dict[str, DeviceResult], on_device: Callable[[str], None] | None
) -> None:
    run.stage, run.doing = line.get("stage", run.stage), line.get("doing", run.doing)
    run.trouble = line.get("trouble", run.trouble)
    if "device" in line and line["device"] != run.device:
        run.device = line["device"]
        if on_device is not None:
            on_device(run.device)
    if "known" in line:  # what it is, before anything is tried
        found[run.device] = DeviceResult(run.device, "died", **line["known"])
    if "result" in line:
        found[run.device] = _judged(found[run.device], line["result"])


def _judged(known: DeviceResult, result: Mapping[str, Any]) -> DeviceResult:
    """The result of a device, from what the child measured."""
    made = replace(known, **{**result, "buffers": tuple(result["buffers"])})
    if made.outcome != "works":
        return made
    if not made.error <= TOLERANCE:
        off = f"off by {made.error:.0%}" if made.error < FAR_OFF else "far off"
        return replace(made, outcome="wrong", detail=f"its logits are {off} ({made.detail})")
    return replace(made, detail="")
