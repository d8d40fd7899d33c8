"""`relay-gguf convert`, `presets`, `template` and `demo`: what their options are called.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay_gguf.cli.options import Debug
from relay_gguf.errors import ConversionError, SettingsError

if TYPE_CHECKING:
    from relay_gguf.convert.job import Request
    from relay_gguf.models.demo import Demo

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def convert(
    base: Annotated[
        str,
        typer.Argument(help="A folder of safetensors, OWNER/NAME on the hub, or a GGUF file."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the files.")],
    adapter: Annotated[
        str | None, typer.Option(help="A LoRA adapter to merge: a folder, or OWNER/NAME.")
    ] = None,
    quant: Annotated[
        list[str] | None,
        typer.Option("--quant", "-q", help="A type, as Q4_K_M; several times for several files."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Types, names and card: see `relay-gguf presets`.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="File name, as model-{type}.gguf. [the model's name]")
    ] = None,
    merge_base: Annotated[
        str,
        typer.Option(
            help="Merge into: original weights; nf4 or nf4-double, which QLoRA training saw; "
            "auto, by what the adapter's folder tells."
        ),
    ] = "auto",
    context_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens of context to claim. [the config's]")
    ] = None,
    imatrix: Annotated[
        Path | None, typer.Option(help="Importance matrix, from llama-imatrix.")
    ] = None,
    split_max_size: Annotated[
        str | None, typer.Option(help="Cut files into parts of at most this, as 4G.")
    ] = None,
    template: Annotated[
        str, typer.Option(help="The chat template: relay, for commands in any app, or keep.")
    ] = "relay",
    pre: Annotated[
        str | None, typer.Option(help="llama.cpp's name of the pre-tokenizer. [looked up]")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="[one for each core]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, write nothing.")] = (
        False
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard what an interrupted conversion left.")
    ] = False,
    lmstudio: Annotated[
        bool, typer.Option("--lmstudio", help="Put the files into LM Studio too.")
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Leave out the proof of the files.")
    ] = False,
    allow_nonfinite: Annotated[
        bool, typer.Option("--allow-nonfinite", help="Convert NaN and infinity too.")
    ] = False,
    allow_requantize: Annotated[
        bool, typer.Option("--allow-requantize", help="Take a GGUF file that is quantized.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON objects.")] = False,
    debug: Debug = False,
) -> None:
    """Make GGUF files of a model, or of a base and its LoRA adapter.

    One pass over the weights, whatever the number of types, without PyTorch and in little memory.
    """
    from relay_gguf.convert.job import prepare
    from relay_gguf.convert.publish.folder import write_folder
    from relay_gguf.convert.run import check, run

    from . import screen

    request = _request(
        base,
        adapter,
        quant,
        preset,
        name,
        merge_base,
        context_length,
        imatrix,
        split_max_size,
        pre,
        allow_nonfinite,
        not no_verify,
        template,
        allow_requantize,
    )
    show = screen.chosen(quiet=quiet, as_json=as_json)
    job = prepare(request, weights=not dry_run)
    show.plan(job, out, in_full=dry_run, n_threads=threads)
    if dry_run:
        check(job, out, force=force, restart=restart)
        return
    try:
        show.run(run(job, out, n_threads=threads, force=force, restart=restart), out)
    except KeyboardInterrupt:
        typer.echo("Stopped. The same command goes on from here; --restart begins anew.", err=True)
        raise
    show.folder(write_folder(out), out)
    if lmstudio:
        from relay_gguf.cli import apps

        apps.install([str(out / target.files[0].name) for target in job.targets])


def presets(
    model: Annotated[
        str | None,
        typer.Argument(help="Show sizes for this model: a folder, OWNER/NAME or a GGUF file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """List presets, and how large their files would be. [for Mistral-Nemo, which Relay is]"""
    from relay_gguf.convert.write.sizes import preset_sizes

    from . import screen

    screen.print_presets(preset_sizes(model), as_json=as_json)


def template(
    file: Annotated[
        Path | None, typer.Argument(help="A GGUF file, or the first part of one. [print ours]")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Put ours into it.")] = False,
    debug: Debug = False,
) -> None:
    """Print a file's chat template, or put Relay's into it: commands in any app."""
    from relay_gguf.convert.inspect.rewrite import put_template, template_of
    from relay_gguf.convert.template import relay_template
    from relay_gguf.display import one_line, visible

    from .screen import copying

    if file is None:
        if write:
            raise SettingsError("--write needs the file to write into.")
        typer.echo(relay_template())
    elif not write:
        for line in template_of(file).split("\n"):
            typer.echo(visible(line))
    else:
        copying(put_template(file))
        typer.echo(one_line(f"{file} has Relay's chat template now. Its tensors are as they were."))


def demo(debug: Debug = False) -> None:
    """Show how the demo model is made, and what came of it; make it if it is not there."""
    from relay_gguf.convert.demo_conversion import command, make
    from relay_gguf.models.demo import find_demo

    from . import screen

    found = find_demo()
    if found.report is None:
        screen.making(found, make(found))
    screen.print_demo(found, command(found, "models"))


def made_demo(found: Demo) -> Path:
    """The file of the demo model, made if need be; plain SmolLM2 where it cannot be made."""
    from relay_gguf.convert.demo_conversion import make
    from relay_gguf.display import one_line

    from . import screen

    try:
        screen.making(found, make(found))
    except ConversionError as error:
        text = f"{error} Without it you talk to plain SmolLM2, which was never trained on IRC."
        typer.echo(one_line(f"The demo model cannot be made: {text}"), err=True)
        return found.base
    return found.path


def _request(
    base: str,
    adapter: str | None,
    quant: list[str] | None,
    preset: str | None,
    name: str | None,
    merge_base: str,
    context_length: int | None,
    imatrix: Path | None,
    split_max_size: str | None,
    pre: str | None,
    allow_nonfinite: bool,
    verify: bool,
    template: str,
    allow_requantize: bool,
) -> Request:
    """What is asked for: a preset, and over it what the options say."""
    from relay_gguf.convert.job import TEMPLATES, Request
    from relay_gguf.convert.metadata import Card
    from relay_gguf.convert.read.source import ASKED_BASES
    from relay_gguf.quant_presets import load_preset

    found = None if preset is None else load_preset(preset)
    types = [ftype.upper() for ftype in quant or ()] or list(found.types if found else ())
    bases = [known for known in ASKED_BASES if known == merge_base]
    if not bases:
        raise SettingsError(f"--merge-base is {merge_base!r}; it may be {', '.join(ASKED_BASES)}.")
    kept = [known for known in TEMPLATES if known == template]
    if not kept:
        raise SettingsError(f"--template is {template!r}; it may be {', '.join(TEMPLATES)}.")
    return Request(
        base,
        tuple(types),
        adapter,
        name or (found.file if found else "") or None,
        found.card if found else Card(),
        bases[0],
        context_length or (found.context_length if found else None),
        pre,
        imatrix,
        None if split_max_size is None else parse_size(split_max_size),
        allow_nonfinite,
        verify,
        kept[0],
        allow_requantize,
    )


def parse_size(text: str) -> int:
    """Bytes of `4G`, `500M`, in powers of 1000 as llama-gguf-split counts.

    Raises:
        ConversionError: it is no size.
    """
    match = re.fullmatch(r"(\d+)([KMG]?)B?", text.strip().upper())
    if match is None or int(match[1]) == 0:
        raise ConversionError(f"--split-max-size is {text!r}; it should be like 4G or 500M.")
    return int(match[1]) * _UNITS[match[2]]
