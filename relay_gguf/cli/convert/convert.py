"""`relay-gguf convert`: its options.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay_gguf.cli.options import Debug

if TYPE_CHECKING:
    from relay_gguf.convert.publish.folder import WrittenFolder

BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Threads of OpenBLAS, of MKL and of Apple's Accelerate: what numpy multiplies matrices with."""
AUTO: Final = "auto"
"""In place of an importance matrix's file: one is made on the way."""


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
        str | None,
        typer.Option(
            metavar="FILE|auto",
            help="Importance matrix, a file of `relay-gguf imatrix` or llama-imatrix; auto makes "
            "one on the way, beside the other files.",
        ),
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
    """Make GGUF files of a model, or of a base and an adapter.

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
      relay-gguf convert OWNER/BASE --adapter ADAPTER -q Q8_0 -q IQ3_M --imatrix auto -o models
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
    from .asked import asked

    request = asked(
        base=base,
        adapter=adapter,
        quant=quant or [],
        preset=preset,
        name=name,
        merge_base=merge_base,
        context_length=context_length,
        imatrix=None if imatrix in (None, AUTO) else Path(str(imatrix)),
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
    earlier: dict[str, Path] = {}
    own = None
    if imatrix == AUTO:
        from .own_imatrix import own_imatrix

        own = own_imatrix(request, out)
        if quality:
            card.refuse_without_base([*request.ftypes, *([""] if request.size_target else [])])
        show.plan(own.plan, out, in_full=dry_run, n_threads=threads)
        show.say(own.lines())
        if dry_run:
            check(own.plan, out, force=force, restart=restart)
            return
        with _told_how_to_resume():
            earlier = own.make(
                show, n_threads=threads, force=force, restart=restart, quiet=quiet or as_json
            )
        request = own.second
    with screen.measuring(quiet=quiet or as_json) as watch:
        job = prepare(
            request, weights=not dry_run, n_threads=threads, watch=watch, notice=show.notice
        )
    if quality:
        card.refuse_without_base([*earlier, *(target.ftype for target in job.targets)])
    if own is None or request.size_target is not None:
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
    with _told_how_to_resume():
        show.run(events, out)
    if own is not None:
        own.clean_up()
    show.folder(written[0], out)
    files = earlier | {target.ftype: out / target.files[0].name for target in job.targets}
    if quality:
        show.quality(card.measure_converted(files, out, threads, quiet=quiet))
    if lmstudio:
        from relay_gguf.cli import apps

        apps.install([str(path) for path in files.values()])


@contextmanager
def _told_how_to_resume() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(
            "Stopped. The same command resumes here; with --restart it begins anew.", err=True
        )
        raise
