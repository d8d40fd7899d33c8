"""A verdict in words: a line for each device, the consequences, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterator

from relay_gguf.display import one_line

from .result import CPU, NO_AMX, TOLERANCE, DeviceResult, Verdict

MORE = "`relay-gguf doctor` shows details and what to do."


def verdict_lines(found: Verdict, rebuild: str) -> Iterator[str]:
    """The whole verdict, line by line.

    Args:
        found: the verdict.
        rebuild: the command that compiles llama.cpp for this machine.
    """
    if found.trouble or found.fatal:
        yield found.trouble or f"llama.cpp does not work here: {found.fatal}."
        if found.fatal:
            yield f"Compile it for this machine: {rebuild}"
        return
    width = max(len(name) for name in ["device", *(each.device for each in found.results)])
    if any(result.works for result in found.results):
        yield f"{'device':{width}}  self-test   off  40 tokens  a token  weights in"
    for result in found.results:
        yield f"{result.device:{width}}  {_told(result)}"
    yield from _consequences(found)
    cpu = found.of(CPU)
    if cpu is not None and not cpu.usable:
        yield f"This build of llama.cpp is not right for this processor. Compile it: {rebuild}"
    if found.hidden or any(f.device in found.broken and f.backend != "RPC" for f in found.results):
        yield (
            "A broken GPU mostly needs another driver, or a build of llama.cpp for the installed "
            "driver: `relay-gguf devices` names one."
        )


def _told(result: DeviceResult) -> str:
    if not result.works:
        what = f" ({one_line(result.description)})" if result.description else ""
        return f"{_outcome(result)}{what}"
    batch, token = _milliseconds(result.batch), _milliseconds(result.token)
    buffers = ", ".join(result.buffers)
    return f"{'works':9}  {result.error:4.1%}  {batch:>9}  {token:>7}  {buffers}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"


def _outcome(result: DeviceResult) -> str:
    detail = result.detail
    return {
        "wrong": f"computes wrong numbers: {detail}",
        "died": f"died of {detail}",
        "silent": f"gave no answer ({detail})",
        "failed": f"failed: {detail}",
        "works": "works",
    }[result.outcome]


def _consequences(found: Verdict) -> Iterator[str]:
    if found.processor is None:
        yield "So no model can run with this build of llama.cpp."
        return
    yield from _notices(found)
    if all(result.works for result in found.results):
        yield (
            f"All of it works: logits within {TOLERANCE:.0%} of a reference computed in NumPy, for "
            "Q8_0, Q4_K, Q6_K and F16."
        )


def amx_advice(build: str, has_amx: bool, rebuild: str) -> str:
    """How to use the processor's AMX if this llama.cpp was built without it; else empty.

    Args:
        build: llama.cpp's line on how it was built.
        has_amx: whether the processor has AMX.
        rebuild: the command that compiles llama.cpp for this machine.
    """
    if not has_amx or "AMX_INT8 = 1" in build:
        return ""
    return (
        "This processor has AMX, which this build of llama.cpp does not use: with it, prompts "
        f"are read about twice as fast. To compile one that does: {rebuild}"
    )


def notices(found: Verdict) -> list[str]:
    """The notices for the beginning of a chat; empty if every device works."""
    return [f"{line} {MORE}" for line in _notices(found)]


def _notices(found: Verdict) -> Iterator[str]:
    cpu, way = found.of(CPU), found.processor
    if cpu is not None and way not in (CPU, None):
        without = "AMX" if way == NO_AMX else "that"
        yield (
            f"llama.cpp's fastest code for this processor {_outcome(cpu)}: it runs without "
            f"{without}, slower."
        )
    for result in found.results:
        if result.device in found.broken:
            name = one_line(result.description)
            yield f"{result.device} ({name}) is not used: it {_outcome(result)}."
    if found.hidden:
        yield "llama.cpp crashes when it looks for GPUs on this machine, so no GPU is used."
