"""`relay-gguf devices`, `plan` and `models`: their options, what they print.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    AsJson,
    Debug,
    KvType,
    Layers,
    MainGpu,
    MinSpeed,
    NCtx,
    NoGpu,
    TensorSplit,
    Workers,
    given_settings,
)

if TYPE_CHECKING:
    from relay_gguf.fit.choose import Candidate
    from relay_gguf.fit.placement import Plan
    from relay_gguf.fit.plan import LoadOptions
    from relay_gguf.gguf_file.gguf_model import GgufModel
    from relay_gguf.hub.repo import RepoFile
    from relay_gguf.machine.devices import Machine

Measure = Annotated[
    bool, typer.Option("--measure", help="Measure the RAM's bandwidth again, and keep the result.")
]


def devices(
    context: typer.Context,
    worker: Workers = None,
    as_json: AsJson = False,
    measure: Measure = False,
    debug: Debug = False,
) -> None:
    """Show the devices that a model can run on.

    Each is shown with its memory, how much of that is free, and its bandwidth.
    """
    from relay_gguf.doctor.advice import amx_advice, notices
    from relay_gguf.doctor.verdict import verdict
    from relay_gguf.llama.backends import build, cpu
    from relay_gguf.llama.inventory import this_machine
    from relay_gguf.machine.cpu import has_amx, physical_cores
    from relay_gguf.machine.measurement import measured
    from relay_gguf.machine.wheels import rebuild
    from relay_gguf.models.listing import device_lines, devices_json

    if measure:
        measured(anew=True)
    workers = given_settings(context).load.workers
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
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="A GGUF file, or OWNER/NAME[:TYPE] on the hub. [as for chat]"),
    ] = None,
    n_gpu_layers: Layers = None,
    n_ctx: NCtx = None,
    kv_type: KvType = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    worker: Workers = None,
    slots: Annotated[
        int,
        typer.Option(metavar="N", help="Replies at once, as in `RelayLM(n_slots=N)`. [1]"),
    ] = 1,
    min_speed: MinSpeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show how a model would be loaded, and how fast it would be.

    The plan has its parts on each device, and what is left free there. Nothing is loaded. Of a
    model on the hub only the header is downloaded.

    \b
    Examples:
      relay-gguf plan
      relay-gguf plan model.gguf --n-ctx 8192 --kv-type q8_0
      relay-gguf plan OWNER/NAME:Q4_K_M --slots 8
    """
    from dataclasses import replace

    from relay_gguf.models.listing import plan_json, plan_lines

    settings = given_settings(context)
    options = replace(settings.load, n_slots=slots, kv_unified=False)
    named = model or settings.model or None
    if named is None:
        from relay_gguf.models.suggest import suggest

        found = suggest(options, settings.min_speed)
        made, machine = found.plan, found.machine
        position = found.candidates.index(found.taken)
        better = found.candidates[position - 1] if position else None
    else:
        made, machine, better = _planned(named, options)
    if as_json:
        typer.echo(json.dumps(plan_json(made, machine)))
        return
    for line in plan_lines(made, machine, better):
        typer.echo(line)
    if machine.advice:
        typer.echo(machine.advice)


def models(
    context: typer.Context,
    here: Annotated[
        bool, typer.Option("--here", help="List the files that were downloaded instead.")
    ] = False,
    remove: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Remove what was downloaded of OWNER/NAME, or its OWNER/NAME:TYPE or "
            "OWNER/NAME/FILE.gguf alone.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    worker: Workers = None,
    min_speed: MinSpeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List Relay's published files, and which suits this machine.

    Each is shown with its size, the memory that it needs, and its speed here.

    \b
    Examples:
      relay-gguf models
      relay-gguf models --here
      relay-gguf models --remove danlou/relay-v0.1-Mistral-Nemo-2407-GGUF:Q2_K
    """
    if remove is not None:
        _remove(remove, yes=yes)
        return
    if here:
        _list_here(as_json=as_json)
        return
    from relay_gguf.errors import MemoryShortError
    from relay_gguf.fit.catalogue import catalogue
    from relay_gguf.fit.choose import candidates, choose
    from relay_gguf.fit.plan import LoadOptions
    from relay_gguf.llama.inventory import this_machine
    from relay_gguf.models.listing import BUSY, model_lines, models_json
    from relay_gguf.models.suggest import files_here

    settings = given_settings(context)
    floor = settings.min_speed
    machine = this_machine(workers=settings.load.workers)
    found = candidates(catalogue(), machine, LoadOptions())
    try:
        chosen = choose(found, machine, floor)
    except MemoryShortError:
        chosen = None
    if as_json:
        typer.echo(
            json.dumps(
                models_json(found, chosen, machine=machine, here=files_here(), min_speed=floor)
            )
        )
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


def _list_here(*, as_json: bool) -> None:
    """List the GGUF files in the hub's cache; other programs list theirs."""
    from relay_gguf.display import one_line, size
    from relay_gguf.hub.cache import cached_files, repo_cache

    found = cached_files()
    if as_json:
        rows = [{"name": str(f), "bytes": f.size, "path": str(f.paths[0])} for f in found]
        typer.echo(json.dumps(rows))
        return
    for file in found:
        typer.echo(f"{size(file.size):>8}  {one_line(str(file))}")
    if not found:
        typer.echo(f"No model was downloaded to {repo_cache('').root}.")


def _remove(name: str, *, yes: bool) -> None:
    """Remove downloaded files.

    Raises:
        ModelError: there are none of this name.
    """
    from relay_gguf.display import one_line, size
    from relay_gguf.errors import ModelError
    from relay_gguf.hub.cache import cached_files, remove_cached
    from relay_gguf.hub.repo import parse_repo, pick_files

    wanted = parse_repo(name)
    found = [file for file in cached_files() if wanted and file.repo == wanted.repo]
    if wanted and (wanted.ftype or wanted.file) and found:
        names = pick_files(wanted, [file.name for file in found])
        found = [file for file in found if file.name in names]
    if not found:
        raise ModelError(f"No file of {name} was downloaded. `relay-gguf models --here` lists all.")
    if not yes:
        for file in found:
            typer.echo(f"{size(file.size):>8}  {one_line(str(file))}", err=True)
        if not typer.confirm("Remove this from the disk?", err=True):
            return
    for file in found:
        remove_cached(file)
        typer.echo(f"Removed {one_line(str(file))}.")


def _planned(model: str, options: LoadOptions) -> tuple[Plan, Machine, Candidate | None]:
    """The plan for a model argument, the machine, and the next better file."""
    from relay_gguf.fit.choose import better
    from relay_gguf.fit.plan import fit
    from relay_gguf.hub.repo import parse_repo
    from relay_gguf.llama.first_read.first_read import readable_model
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
        facts, machine = readable_model(path), this_machine(workers=options.workers)
        sizes = facts.sizes()
        made = plan_file(path, sizes, machine, options)
    return made, machine, better(sizes, facts.bits, machine, options)


def _remote_facts(wanted: RepoFile) -> GgufModel:
    """What a file on the hub is, by its head."""
    from relay_gguf.gguf_file.gguf_model import GgufModel, Shard
    from relay_gguf.hub.download import asked
    from relay_gguf.hub.file import remote_header

    found, names = asked(wanted)
    return GgufModel(
        tuple(
            Shard(
                Path(name), remote_header(wanted.repo, name, found.commit), found.files[name].size
            )
            for name in names
        )
    )
