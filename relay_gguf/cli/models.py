"""`relay-gguf devices`, `plan` and `models`: what their options are called, what they print.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay_gguf.debug import Debug

from .worker import Workers

if TYPE_CHECKING:
    from relay_gguf.fit.choose import Candidate
    from relay_gguf.fit.placement import Plan
    from relay_gguf.fit.plan import LoadOptions
    from relay_gguf.gguf_file.facts import Facts
    from relay_gguf.hub.repo import RepoFile
    from relay_gguf.machine.devices import Machine

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Measure = Annotated[bool, typer.Option("--measure", help="Measure the RAM anew; keep that.")]
NCtx = Annotated[int | None, typer.Option(help="Tokens of context. [4096]")]
Layers = Annotated[
    int | None, typer.Option("--n-gpu-layers", help="Layers on the GPU, -1 for all. [what fits]")
]
KvType = Annotated[
    str | None, typer.Option(metavar="TYPE", help="Of the KV cache: f16, q8_0, q4_0. [f16]")
]
MainGpu = Annotated[int | None, typer.Option(help="The only GPU to use, counted from 0. [all]")]
TensorSplit = Annotated[
    str | None, typer.Option(metavar="A,B", help="The share of each GPU. [by what is free]")
]
NoGpu = Annotated[bool | None, typer.Option("--no-gpu", help="Use none.")]
MinSpeed = Annotated[
    float | None, typer.Option(help="Tokens a second that a file must reach to be chosen. [5]")
]


def devices(
    worker: Workers = None,
    as_json: AsJson = False,
    measure: Measure = False,
    debug: Debug = False,
) -> None:
    """What there is to run a model on."""
    from relay_gguf.doctor.lines import amx_advice, notices
    from relay_gguf.doctor.verdict import verdict
    from relay_gguf.llama.devices import build, cpu
    from relay_gguf.llama.inventory import this_machine
    from relay_gguf.machine.devices import has_amx, physical_cores
    from relay_gguf.machine.measurement import measured
    from relay_gguf.machine.wheels import rebuild
    from relay_gguf.models.lines import device_lines, devices_json
    from relay_gguf.settings import usual_settings

    if measure:
        measured(anew=True)
    workers = usual_settings({"worker": worker or None}).load.workers
    machine, name, n_cores = this_machine(workers=workers), cpu(), physical_cores()
    if as_json:
        typer.echo(json.dumps(devices_json(machine, name, n_cores)))
        return
    for line in device_lines(machine, name, n_cores):
        typer.echo(line)
    for line in (*notices(verdict()), amx_advice(build(), has_amx(), rebuild())):
        if line:
            typer.echo(line)


def plan(
    model: Annotated[
        str | None,
        typer.Argument(help="A GGUF file, or OWNER/NAME[:TYPE] on the hub. [as chat]"),
    ] = None,
    n_gpu_layers: Layers = None,
    n_ctx: NCtx = None,
    kv_type: KvType = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    worker: Workers = None,
    min_speed: MinSpeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """How a model would be loaded: what goes where, what is left, how fast it would be.

    Of a model on the hub only the head is downloaded. Nothing is loaded.
    """
    from relay_gguf.models.lines import plan_json, plan_lines
    from relay_gguf.settings import usual_settings

    given = {
        "n_ctx": n_ctx,
        "n_gpu_layers": n_gpu_layers,
        "kv_type": kv_type,
        "main_gpu": main_gpu,
        "tensor_split": tensor_split,
        "no_gpu": no_gpu,
        "worker": worker or None,
        "min_speed": min_speed,
    }
    settings = usual_settings(given)
    named = model or settings.model or None
    if named is None:
        from relay_gguf.models.suggest import suggest

        found = suggest(settings.load, settings.min_speed)
        made, machine = found.plan, found.machine
        position = found.candidates.index(found.taken)
        better = found.candidates[position - 1] if position else None
    else:
        made, machine, better = _planned(named, settings.load)
    if as_json:
        typer.echo(json.dumps(plan_json(made, machine)))
        return
    for line in plan_lines(made, machine, better):
        typer.echo(line)
    if machine.advice:
        typer.echo(machine.advice)


def models(
    worker: Workers = None,
    min_speed: MinSpeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Relay's published files: what they need, which of them this machine would take."""
    from relay_gguf.errors import MemoryShortError
    from relay_gguf.fit.catalogue import catalogue
    from relay_gguf.fit.choose import candidates, choose
    from relay_gguf.fit.plan import LoadOptions
    from relay_gguf.llama.inventory import this_machine
    from relay_gguf.models.lines import BUSY, model_lines, models_json
    from relay_gguf.models.suggest import files_here
    from relay_gguf.settings import usual_settings

    settings = usual_settings({"min_speed": min_speed, "worker": worker or None})
    floor = settings.min_speed
    machine = this_machine(workers=settings.load.workers)
    found = candidates(catalogue(), machine, LoadOptions())
    try:
        chosen = choose(found, machine, floor)
    except MemoryShortError:
        chosen = None
    if as_json:
        typer.echo(json.dumps(models_json(found, chosen, machine, files_here(), floor)))
        return
    for line in model_lines(found, chosen, files_here(), floor):
        typer.echo(line)
    file = catalogue()[0]
    typer.echo(f"From {file.repo} ({file.license}).")
    if chosen is None:
        typer.echo("None fits into this machine. `relay-gguf chat --demo` takes a small model.")
    if machine.measured_busy:
        typer.echo(BUSY)
    if machine.advice:
        typer.echo(machine.advice)


def _planned(model: str, options: LoadOptions) -> tuple[Plan, Machine, Candidate | None]:
    """The plan for a model argument, and the next better file."""
    from relay_gguf.fit.choose import better
    from relay_gguf.fit.plan import fit
    from relay_gguf.gguf_file.facts import read_facts
    from relay_gguf.hub.repo import parse_repo
    from relay_gguf.llama.inventory import this_machine
    from relay_gguf.llama.load import check_file, plan_file
    from relay_gguf.models.locate import find

    path, wanted = find(model), parse_repo(model)
    if path is None and wanted is not None:
        facts, machine = _remote_facts(wanted), this_machine(workers=options.workers)
        sizes = facts.sizes()
        made = fit(sizes, machine, options)
    else:
        path = path or Path(model)
        check_file(path)
        facts, machine = read_facts(path), this_machine(workers=options.workers)
        facts.check()
        sizes = facts.sizes()
        made = plan_file(path, sizes, machine, options)
    return made, machine, better(sizes, facts.bits, machine, options)


def _remote_facts(wanted: RepoFile) -> Facts:
    """What a file on the hub is, by its head."""
    from relay_gguf.gguf_file.facts import Facts, Part
    from relay_gguf.hub.download import asked
    from relay_gguf.hub.file import head

    found, names = asked(wanted)
    return Facts(
        tuple(
            Part(Path(name), head(wanted.repo, name, found.commit), found.files[name].size)
            for name in names
        )
    )
