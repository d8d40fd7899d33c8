"""Devices, plans and the published files, as lines of text or JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from relay_gguf.display import one_line, size
from relay_gguf.fit.choose import Candidate
from relay_gguf.fit.memory import DEFAULT_N_CTX, binary, padded
from relay_gguf.fit.placement import RAM, LoadSettings, Plan, Share, place
from relay_gguf.fit.speed import tokens_per_second
from relay_gguf.fit.traffic import WORKER, traffic
from relay_gguf.machine.devices import Machine

if TYPE_CHECKING:
    from .suggest import Suggestion

WORDS: Final = "ten"
WORD_TOKENS: Final = 13
"""Tokens of a reply of ten words, about."""
BUSY: Final = (
    "RAM was measured while the machine was busy: models may be faster than these "
    "estimates. It will be measured again."
)


def device_lines(machine: Machine, cpu: str, n_cores: int) -> Iterator[str]:
    """A table of the devices: kind, total and free memory, bandwidth."""
    rows = [("device", "kind", "in all", "free now", "bandwidth", "")]
    for gpu in machine.gpus:
        speed = "unknown" if gpu.bandwidth is None else f"{gpu.bandwidth / 1e9:.0f} GB/s"
        kind = f"{gpu.backend} GPU{', in RAM' * gpu.unified}"
        kind = "worker's" if gpu.backend == WORKER else kind
        rows.append((gpu.name, kind, binary(gpu.total), binary(gpu.free), speed, gpu.description))
    cores = f"{cpu}, {n_cores} cores" if n_cores > 1 else cpu
    speed = f"{machine.bandwidth / 1e9:.0f} GB/s"
    rows.append((RAM, "CPU", binary(machine.ram), binary(machine.available), speed, cores))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for name, kind, total, free, speed, what in rows:
        sizes = f"{total:>{widths[2]}}  {free:>{widths[3]}}  {speed:>{widths[4]}}"
        yield f"{name:{widths[0]}}  {kind:{widths[1]}}  {sizes}  {one_line(what)}".rstrip()
    if machine.measured_busy:
        yield BUSY
    if machine.advice:
        yield machine.advice


def devices_json(machine: Machine, cpu: str, n_cores: int) -> dict[str, Any]:
    """The devices as a JSON object; sizes in bytes, bandwidth in bytes a second."""
    return {**asdict(machine), "cpu": cpu, "n_cores": n_cores}


def plan_lines(plan: Plan, machine: Machine, better: Candidate | None = None) -> Iterator[str]:
    """A plan as text: each device's part, what stays free, and what the next better file needs."""
    at, model = plan.settings, plan.model
    speed = tokens_per_second(plan, machine)
    pool = " in one pool" if at.kv_unified else ""
    each = f" for each of {at.n_slots} replies, {padded(at.pool)} for all{pool}"
    tokens = f"{at.n_ctx} tokens of context in {at.kv_type}{each if at.n_slots > 1 else ''}"
    yield f"{one_line(Path(model.name).name)}, {size(model.weights)} of weights"
    yield f"{plan.where}, {tokens}, about {rate(speed)} tokens a second"
    yield ""
    yield f"{'device':8}  {'weights':>9}  {'context':>9}  {'compute':>9}  {'left':>9}  holds"
    for share in plan.shares:
        sizes = (share.weights, share.kv, share.compute, share.left)
        columns = "  ".join(f"{binary(n_bytes):>9}" for n_bytes in sizes)
        yield f"{share.device:8}  {columns}  {holds(share, plan)}"
    margins = [f"{binary(share.margin)} of {share.device}" for share in plan.shares]
    yield f"Of what is left, {' and '.join(margins)} stay free for others."
    yield from _traffic_lines(plan, machine)
    if better is not None:
        yield from _needed(better, machine)


def plan_json(plan: Plan, machine: Machine) -> dict[str, Any]:
    """A plan as a JSON object; sizes in bytes."""
    return {
        "model": plan.model.name,
        **asdict(plan.settings),
        "n_layers": plan.model.n_layers,
        "tokens_per_second": round(tokens_per_second(plan, machine), 1),
        "devices": [_share_json(share) for share in plan.shares],
        "workers": [asdict(other) for other in traffic(plan, machine)],
    }


def _share_json(share: Share) -> dict[str, Any]:
    """A share's fields; programs know the compute buffer as `work`."""
    fields = {"work" if name == "compute" else name: n for name, n in asdict(share).items()}
    return {**fields, "left": share.left}


def taken_lines(found: Suggestion) -> Iterator[str]:
    """The published file that is taken, and why, as text."""
    taken, best = found.taken, found.best
    if found.is_slow:
        yield slow_line(taken, found.min_speed)
        if found.machine.measured_busy:
            yield BUSY
    else:
        yield suits_line(taken, found.min_speed)
    if best is not taken and best.speed >= found.min_speed:
        yield (
            f"{best.file.ftype} would run here too, and better: "
            f"`relay-gguf download {best.file.name}` gets its {size(best.file.size)}."
        )
    if found.machine.advice:
        yield found.machine.advice


def suits_line(candidate: Candidate, min_speed: float) -> str:
    """A line about a file that is fast enough, or on this disk and not much slower."""
    what = "suits this machine" if candidate.speed >= min_speed else "is on this disk"
    return f"Relay as {candidate.file.ftype} {what}: {_how(candidate)}."


def slow_line(candidate: Candidate, min_speed: float) -> str:
    """A line about the file that is taken although it is slow, and how long a reply takes."""
    reply = seconds(reply_seconds(candidate.speed))
    return (
        f"No file of Relay's reaches {min_speed:g} tokens a second on this machine. "
        f"{candidate.file.ftype} is taken: {_how(candidate)}, so {reply} for a reply of {WORDS} "
        "words. `relay-gguf models` lists all, `relay-gguf chat --demo` takes a small one."
    )


def _how(candidate: Candidate) -> str:
    where = "" if candidate.plan is None else f"{candidate.plan.summary}, "
    return f"{where}about {rate(candidate.speed)} tokens a second"


def reply_seconds(speed: float) -> float:
    """Seconds that a reply of ten words takes at `speed` tokens a second."""
    return WORD_TOKENS / speed if speed else float("inf")


def seconds(count: float) -> str:
    """A number of seconds as text: `9.5 s`, `26 s`."""
    return f"{count:.1f} s" if count < 9.95 else f"{count:.0f} s"


def model_lines(
    found: Sequence[Candidate], chosen: Candidate | None, here: Collection[str], min_speed: float
) -> Iterator[str]:
    """A table of the published files: size, speed and place on this machine; `*` marks the chosen.

    Args:
        found: all published files.
        chosen: the file that suits this machine, or else the fastest; None if none fits.
        here: the types that are on this disk.
        min_speed: tokens a second that a file must reach to suit.
    """
    yield f"  {'type':7}  {'size':>8}  {'needs':>8}  {'speed':>9}  on this machine"
    for candidate in found:
        mark = "*" if candidate is chosen and candidate.speed >= min_speed else " "
        plan, file = candidate.plan, candidate.file
        speed = "" if plan is None else f"{rate(candidate.speed)} t/s"
        how = "does not fit" if plan is None else plan.summary
        there = ", downloaded" if file.ftype in here else ""
        sizes = f"{size(file.size):>8}  {size(_need(candidate)):>8}"
        yield f"{mark} {file.ftype:7}  {sizes}  {speed:>9}  {how}{there}"
    if chosen is not None and chosen.speed < min_speed:
        yield (
            f"None reaches {min_speed:g} tokens a second (--min-speed). The fastest is "
            f"{chosen.file.ftype}: {seconds(reply_seconds(chosen.speed))} for a reply of {WORDS} "
            "words."
        )


def models_json(
    found: Sequence[Candidate],
    chosen: Candidate | None,
    machine: Machine,
    here: Collection[str],
    min_speed: float,
) -> list[dict[str, Any]]:
    """The published files as JSON objects; if no file suits, none is `chosen`."""
    slow = chosen is not None and chosen.speed < min_speed
    return [
        {
            "repo": candidate.file.repo,
            "file": candidate.file.file,
            "type": candidate.file.ftype,
            "bytes": candidate.file.size,
            "needs": _need(candidate),
            "license": candidate.file.license,
            "chosen": candidate is chosen and not slow,
            "fastest": candidate.plan is not None
            and candidate is max(found, key=lambda c: (c.plan is not None, c.speed)),
            "downloaded": candidate.file.ftype in here,
            "plan": None if candidate.plan is None else plan_json(candidate.plan, machine),
        }
        for candidate in found
    ]


def holds(share: Share, plan: Plan) -> str:
    """The parts of a model on a device, as text: `embedding, blocks 0 to 4`."""
    parts = []
    first = sum(s.blocks for s in plan.shares[: plan.shares.index(share)])
    if share.device == RAM:
        parts.append("embedding")
        first = 0
    else:
        first += plan.shares[-1].blocks
    if share.blocks:
        parts.append(f"blocks {first} to {first + share.blocks - 1}")
    if share.output:
        parts.append("output")
    if share.device == RAM:
        parts.append("program")
    return ", ".join(parts) or "nothing"


def _traffic_lines(plan: Plan, machine: Machine) -> Iterator[str]:
    """Lines on the traffic with each worker, and the time that a token waits for it."""
    for gpu in machine.gpus:
        if gpu.backend == WORKER and not any(t.device == gpu.name for t in traffic(plan, machine)):
            yield f"{gpu.name} is {gpu.description}. Nothing goes there."
    for other in traffic(plan, machine):
        yield (
            f"{other.device} is {other.address}. {size(other.on_load)} travel there on load, "
            f"{other.there / 1e3:.1f} kB there and {other.back / 1e3:.1f} kB back for each token, "
            f"which waits {other.latency * 1e3:.2f} ms for the network."
        )
    if any(traffic(plan, machine)):
        yield "Workers do not tell their speed: they are estimated as slow cards."


def _needed(better: Candidate, machine: Machine) -> Iterator[str]:
    """Lines on the next better file: the memory it takes, its plan and its speed."""
    model, plan = better.file.model, better.plan
    at = LoadSettings(model.n_layers if machine.gpus else 0, DEFAULT_N_CTX)
    shares = place(model, machine, at).shares
    gpus = shares[:-1] or shares
    used = sum(share.used for share in gpus)
    lacking = used - sum(share.free - share.margin for share in gpus)
    devices = " and ".join(share.device for share in gpus)
    name = f"{better.file.ftype} ({size(better.file.size)})"
    text = f"Better: {name} takes {binary(used)} of {devices}"
    yield f"{text}{f', {binary(lacking)} more than is available' if lacking > 0 else ''}."
    if plan is None:
        yield "It does not fit into this machine."
    else:
        yield f"Here it would be {plan.summary}, about {rate(better.speed)} tokens a second."


def _need(candidate: Candidate) -> int:
    """Bytes that a file takes on all devices together, with the usual context."""
    model = candidate.file.model
    kv = model.kv(len(model.blocks), DEFAULT_N_CTX, "f16")
    return model.weights + kv + model.compute_buffer(DEFAULT_N_CTX, 512) + model.process


def rate(speed: float) -> str:
    """Tokens a second as text: `0.05`, `3.4`, `34`."""
    return f"{speed:.0f}" if speed >= 10 else f"{speed:.1f}" if speed >= 0.1 else f"{speed:.2f}"
