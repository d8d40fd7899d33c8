"""`relay-gguf imatrix`: its options, and what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay_gguf.cli.options import (
    AsJson,
    Debug,
    Layers,
    MainGpu,
    NoGpu,
    TensorSplit,
    Threads,
    given_settings,
)
from relay_gguf.errors import CalibrationError

if TYPE_CHECKING:
    from collections.abc import Generator

    from relay_gguf.calibration.calibrate import Calibration, ReadChunks

LEAST_CHUNK = 16
"""Tokens: llama.cpp's tool does not count products of fewer rows, and so this one does not."""
SHOWN = 3
"""Weights of a kind that are named, of more their number."""


def imatrix(
    context: typer.Context,
    base: Annotated[
        str,
        typer.Argument(
            help="The model: a GGUF file in F16, BF16 or Q8_0, or OWNER/NAME:TYPE on the hub."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The file, as imatrix.gguf.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Read this file instead: scenes (.jsonl, as `relay-gguf dataset` writes them) or "
            "plain text, cut as llama-imatrix cuts it; repeat it for a mixture. [scenes of IRC "
            "and general text that come with relay-gguf]",
        ),
    ] = None,
    chunk: Annotated[
        int, typer.Option("--n-ctx", min=LEAST_CHUNK, help="Tokens that are read at once.")
    ] = 512,
    chunks: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Read N chunks at most. [all]")
    ] = None,
    parse_special: Annotated[
        bool,
        typer.Option(
            "--parse-special",
            help="Control tokens that a plain text spells are these tokens, as in llama-imatrix.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard what a run that was stopped has left.")
    ] = False,
    n_gpu_layers: Layers = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    threads: Threads = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make an importance matrix, for better small files.

    In llama.cpp's own form, for llama-quantize too. It counts how large the values are that go into
    each column of the weights. A run that was stopped goes on with the same command.

    \b
    Examples:
      relay-gguf imatrix model-Q8_0.gguf --out imatrix.gguf
      relay-gguf imatrix model-F16.gguf --out imatrix.gguf --data chats.jsonl --data books.txt
      relay-gguf convert model-F16.gguf -q IQ3_M --imatrix imatrix.gguf --out models
    """
    _check_out(out, force=force)
    from relay_gguf.calibration.calibrate import calibrate
    from relay_gguf.calibration.calibration_text import our_texts, read_calibration_text
    from relay_gguf.hub.progress import watching
    from relay_gguf.llama.activations.activation_reader import ActivationReader
    from relay_gguf.llama.first_read.first_read import readable_model
    from relay_gguf.models.locate import locate

    settings = given_settings(context)
    texts = [read_calibration_text(path) for path in data] if data else our_texts()
    with watching() as screen:
        path = locate(base, screen)
    options = replace(settings.load, workers=())
    model = readable_model(path)
    with ActivationReader(path, chunk, options, n_threads=settings.threads) as reader:
        running = calibrate(
            reader, model, texts, out, most=chunks, parse_special=parse_special, restart=restart
        )
        try:
            made = shown(running)
        except KeyboardInterrupt:
            typer.echo("Stopped. The same command goes on here.", err=True)
            raise
    if as_json:
        typer.echo(json.dumps({"file": str(out), **asdict(made)}, ensure_ascii=False))
        return
    from relay_gguf.display import one_line

    for line in calibration_lines(made, out):
        typer.echo(one_line(line))


def calibration_lines(made: Calibration, out: Path) -> Iterator[str]:
    """What was made, and what was never seen, in lines for a person."""
    yield (
        f"{out}: {made.n_weights} weights, from {made.n_chunks} chunks, {made.n_tokens:,} tokens."
    )
    if made.unseen:
        yield (
            f"Nothing went into {_few(made.unseen)}: types that need an imatrix cannot have them."
        )
    for name, experts in made.idle_experts.items():
        yield f"{name}: no token came to {len(experts)} experts. Read more text (--data)."
    if made.idle_columns:
        count = sum(made.idle_columns.values())
        yield f"{count} columns were always 0, in {_few(tuple(made.idle_columns))}."
    if not (made.unseen or made.idle_experts or made.idle_columns):
        yield "Every weight of the blocks was seen, in every column."


def _few(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more weights" if more > 0 else "")


def _check_out(out: Path, *, force: bool) -> None:
    """Refuse, before hours of work, a file that cannot be written.

    Raises:
        CalibrationError: it exists, or its folder does not, or cannot be written into.
    """
    if out.is_dir():
        raise CalibrationError(f"{out} is a folder. Give --out a file, as {out / 'imatrix.gguf'}.")
    if out.exists() and not force:
        raise CalibrationError(f"{out} exists. --force replaces it.")
    if not out.parent.is_dir():
        raise CalibrationError(f"There is no folder {out.parent} for {out.name}. Make it first.")
    if not os.access(out.parent, os.W_OK):
        raise CalibrationError(f"Cannot write into {out.parent}: permission denied.")


def shown(running: Generator[ReadChunks, None, Calibration], *, quiet: bool = False) -> Calibration:
    """Run to the end, with a bar on stderr if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    columns = (TextColumn("reading chunks"), BarColumn(), MofNCompleteColumn(), Remaining())
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as b:
        task = b.add_task("", total=None)
        while True:
            try:
                at = next(running)
            except StopIteration as end:
                made: Calibration = end.value
                return made
            if at.resumed and at.done == at.resumed and not quiet:
                said = f"Going on after {at.resumed} of {at.total} chunks."
                console.print(said, markup=False, highlight=False)  # above the bar
            b.update(task, total=at.total, completed=at.done)
