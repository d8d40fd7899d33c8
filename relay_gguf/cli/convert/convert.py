"""`relay-gguf convert`: its options.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay_gguf.cli.options import Debug
from relay_gguf.errors import ConversionError, SettingsError

if TYPE_CHECKING:
    from relay_gguf.convert.budget.size_target import SizeTarget
    from relay_gguf.convert.publish.folder import WrittenFolder
    from relay_gguf.convert.quantize.overrides import TypeOverrides
    from relay_gguf.convert.request import Request

BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Threads of OpenBLAS, of MKL and of Apple's Accelerate: what numpy multiplies matrices with."""
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def convert(
    base: Annotated[
        str,
        typer.Argument(
            help="The model: a folder of safetensors, OWNER/NAME[@REVISION][/FOLDER] on the hub, "
            "or a GGUF file."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")],
    adapter: Annotated[
        str | None,
        typer.Option(help="A LoRA adapter to merge: a folder, a GGUF file, or OWNER/NAME."),
    ] = None,
    quant: Annotated[
        list[str] | None,
        typer.Option("--quant", "-q", help="File type, as Q4_K_M; repeat it for several files."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Types, file names and metadata: see `relay-gguf presets`.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="File name, as model-{type}.gguf. [by the model's name]")
    ] = None,
    merge_base: Annotated[
        str,
        typer.Option(
            help="Merge into the original weights, or into nf4 or nf4-double, with which "
            "QLoRA training computed; auto decides by the adapter's folder."
        ),
    ] = "auto",
    context_length: Annotated[
        int | None,
        typer.Option(
            min=1, help="Context length in tokens that the file claims. [as in the config]"
        ),
    ] = None,
    imatrix: Annotated[
        Path | None,
        typer.Option(help="Importance matrix, a file of `relay-gguf imatrix` or llama-imatrix."),
    ] = None,
    tensor_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX=TYPE",
            help="Type of the tensors whose names a regular expression is found in, as "
            "ffn_down=Q6_K; repeat it, the first that fits counts.",
        ),
    ] = None,
    token_embedding_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Type of the token embedding, as Q8_0.")
    ] = None,
    output_tensor_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Type of the output head, as Q8_0.")
    ] = None,
    target_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Make a file of at most this size too, as 7GB: of each tensor it is measured what "
            "coarser types would damage, and the types are chosen by that.",
        ),
    ] = None,
    target_bpw: Annotated[
        float | None,
        typer.Option(metavar="BITS", help="The same with a size in bits per weight, as 4.5."),
    ] = None,
    split_max_size: Annotated[
        str | None, typer.Option(help="Split files into shards of at most this size, as 4G.")
    ] = None,
    template: Annotated[
        str,
        typer.Option(
            help="Chat template: relay, for commands in any app, or keep the model's own."
        ),
    ] = "relay",
    pre: Annotated[
        str | None, typer.Option(help="llama.cpp's name of the pre-tokenizer. [looked up]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads to encode with. [one for each core]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and write nothing.")] = (
        False
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard the files of an interrupted conversion.")
    ] = False,
    keep_source: Annotated[
        bool,
        typer.Option(
            "--keep-source",
            help="Download a base of the hub first, and keep it in the hub's cache, for further "
            "conversions. [read where it is, and not stored]",
        ),
    ] = False,
    lmstudio: Annotated[
        bool, typer.Option("--lmstudio", help="Put the files into LM Studio too.")
    ] = False,
    quality: Annotated[
        bool,
        typer.Option(
            "--quality",
            help="Measure how far the files are from the best of them, for the model card; see "
            "`relay-gguf quality`.",
        ),
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not read the files back and check them.")
    ] = False,
    allow_nonfinite: Annotated[
        bool, typer.Option("--allow-nonfinite", help="Convert NaN and infinity too.")
    ] = False,
    allow_requantize: Annotated[
        bool, typer.Option("--allow-requantize", help="Accept a GGUF file that is quantized.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON objects.")] = False,
    debug: Debug = False,
) -> None:
    """Make GGUF files of a model, or of a base and its LoRA adapter.

    One pass over the weights for any number of types, without PyTorch and in little memory. A
    conversion that was interrupted is resumed by the same command. A base on the hub is read where
    it is: each tensor once, and never stored, unless it is in the hub's cache already.

    \b
    Examples:
      relay-gguf convert BASE-FOLDER --adapter ADAPTER-FOLDER -q Q8_0 -q Q4_K_M -o models
      relay-gguf convert OWNER/BASE --adapter OWNER/ADAPTER --preset gpu-12gb -o models --dry-run
      relay-gguf convert model-F16.gguf -q Q4_K_M -o models
      relay-gguf convert model-F16.gguf -q Q4_K_L -q IQ2_M --imatrix imatrix.gguf -o models
      relay-gguf convert model-F16.gguf -q Q3_K_M --tensor-type 'blk.[01].ffn=Q6_K' -o models
      relay-gguf convert model-F16.gguf --target-size 7GB --imatrix imatrix.gguf -o models
    """
    # Slabs are worked on by our own threads, and numpy's libraries would start as many for each.
    # They read this as they are loaded, with numpy, which is now.
    for variable in BLAS_THREADS:
        os.environ.setdefault(variable, "1")
    from relay_gguf.cli.quality import card
    from relay_gguf.convert.budget.size_target import size_target
    from relay_gguf.convert.job import prepare
    from relay_gguf.convert.publish.folder import write_folder
    from relay_gguf.convert.quantize.overrides import type_overrides
    from relay_gguf.convert.run import check, run

    from . import screen

    request = _request(
        base=base,
        adapter=adapter,
        quant=quant or [],
        preset=preset,
        name=name,
        merge_base=merge_base,
        context_length=context_length,
        imatrix=imatrix,
        overrides=type_overrides(tensor_type or [], token_embedding_type, output_tensor_type),
        target=size_target(target_size, target_bpw),
        split_max_size=split_max_size,
        pre=pre,
        template=template,
        allow_nonfinite=allow_nonfinite,
        allow_requantize=allow_requantize,
        verify=not no_verify,
        keep_source=keep_source,
    )
    show = screen.chosen(quiet=quiet, as_json=as_json)
    with screen.measuring(quiet=quiet or as_json) as watch:
        job = prepare(
            request, weights=not dry_run, n_threads=threads, watch=watch, notice=show.notice
        )
    if quality:
        card.refuse_without_base([target.ftype for target in job.targets])
    show.plan(job, out, in_full=dry_run, n_threads=threads)
    if dry_run:
        check(job, out, force=force, restart=restart)
        return
    written: list[WrittenFolder] = []
    events = run(
        job,
        out,
        n_threads=threads,
        force=force,
        restart=restart,
        last=lambda: written.append(write_folder(out)),
    )
    try:
        show.run(events, out)
    except KeyboardInterrupt:
        typer.echo(
            "Stopped. The same command resumes here; with --restart it begins anew.", err=True
        )
        raise
    show.folder(written[0], out)
    if quality:
        files = {target.ftype: out / target.files[0].name for target in job.targets}
        show.quality(card.measure_converted(files, out, threads, quiet=quiet))
    if lmstudio:
        from relay_gguf.cli import apps

        apps.install([str(out / target.files[0].name) for target in job.targets])


def _request(
    *,
    base: str,
    adapter: str | None,
    quant: Sequence[str],
    preset: str | None,
    name: str | None,
    merge_base: str,
    context_length: int | None,
    imatrix: Path | None,
    overrides: TypeOverrides,
    target: SizeTarget | None,
    split_max_size: str | None,
    pre: str | None,
    template: str,
    allow_nonfinite: bool,
    allow_requantize: bool,
    verify: bool,
    keep_source: bool,
) -> Request:
    """The request that the options make; they precede the values of a preset."""
    from relay_gguf.convert.metadata import MetadataOverride
    from relay_gguf.convert.read.source import ASKED_BASES
    from relay_gguf.convert.request import TEMPLATES, Request
    from relay_gguf.quant_presets import load_preset

    found = None if preset is None else load_preset(preset)
    types = [ftype.upper() for ftype in quant] or list(found.types if found else ())
    bases = [known for known in ASKED_BASES if known == merge_base]
    if not bases:
        raise SettingsError(f"--merge-base is {merge_base!r}; it may be {', '.join(ASKED_BASES)}.")
    templates = [known for known in TEMPLATES if known == template]
    if not templates:
        raise SettingsError(f"--template is {template!r}; it may be {', '.join(TEMPLATES)}.")
    return Request(
        base=base,
        ftypes=tuple(types),
        adapter=adapter,
        name=name or (found.file if found else "") or None,
        metadata=found.metadata if found else MetadataOverride(),
        merge_base=bases[0],
        context_length=context_length or (found.context_length if found else None),
        pre=pre,
        imatrix=imatrix,
        overrides=overrides,
        size_target=target,
        max_bytes=None if split_max_size is None else parse_size(split_max_size),
        allow_nonfinite=allow_nonfinite,
        verify=verify,
        template=templates[0],
        allow_requantize=allow_requantize,
        keep_source=keep_source,
    )


def parse_size(text: str) -> int:
    """Bytes of `4G` or `500M`, in powers of 1000, as llama-gguf-split counts.

    Raises:
        ConversionError: the text is not a size.
    """
    match = re.fullmatch(r"(\d+)([KMG]?)B?", text.strip().upper())
    if match is None or int(match[1]) == 0:
        raise ConversionError(f"--split-max-size is {text!r}; it should be like 4G or 500M.")
    return int(match[1]) * _UNITS[match[2]]
