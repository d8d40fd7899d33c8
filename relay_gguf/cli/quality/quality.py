"""`relay-gguf quality`: its options, and what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
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

from .card import card_folder, write_card
from .reading import ReadingLine

if TYPE_CHECKING:
    from relay_gguf.quality.measure import Computing
    from relay_gguf.quality.model_file import ModelFile
    from relay_gguf.quality.replies import SideBySide

LEAST_CHUNK = 16
"""Tokens: half of a chunk is what the model knows when the other half is compared."""


def quality(
    context: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="BASE FILE...",
            help="The base (F16, BF16, F32 or Q8_0) and files made of the same model: GGUF files, "
            "or OWNER/NAME:TYPE on the hub. With --base-logits only files.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read scenes of this file (.jsonl, as `relay-gguf dataset` writes it), or plain "
            "text, cut as llama.cpp cuts it. [scenes of IRC that come with relay-gguf]",
        ),
    ] = None,
    chunk: Annotated[
        int, typer.Option("--n-ctx", min=LEAST_CHUNK, help="Tokens that are read at once.")
    ] = 512,
    positions: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Tokens whose probabilities are compared, 0 for all there are."
        ),
    ] = 2000,
    save_base: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the base's logits, in llama.cpp's own form. If the file is there, it is "
            "used, and a run that was stopped goes on.",
        ),
    ] = None,
    base_logits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take the base's logits and the text from a file of --save-base, or of "
            "llama-perplexity --save-all-logits, without the base.",
        ),
    ] = None,
    replies: Annotated[
        bool,
        typer.Option(
            "--replies", help="Show replies of all files to the same prompts, and where they part."
        ),
    ] = False,
    plot: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Draw size against divergence into a .svg or .png file; repeatable. Needs "
            "pip install 'relay-gguf[plots]'.",
        ),
    ] = None,
    into_card: Annotated[
        bool,
        typer.Option(
            "--card",
            help="Put the table, and a plot if matplotlib is there, into the model card of the "
            "files' folder, the --out of a conversion.",
        ),
    ] = False,
    n_gpu_layers: Layers = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    threads: Threads = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Measure which quantized file is worth its size.

    KL divergence, same top token, change of the right token's probability and perplexity, each with
    its error, as llama.cpp's perplexity tool has them. One model is in memory at a time.

    \b
    Examples:
      relay-gguf quality model-F16.gguf model-Q4_K_M.gguf model-Q3_K_M.gguf
      relay-gguf quality model-Q8_0.gguf model-Q4_K_M.gguf --positions 0 --plot sizes.svg
      relay-gguf quality model-F16.gguf model-Q4_K_M.gguf --data wiki.test.raw --save-base base.kld
      relay-gguf quality model-Q2_K.gguf --base-logits base.kld --json
    """
    if save_base is not None and base_logits is not None:
        raise typer.BadParameter("--save-base writes what --base-logits reads: give one.", context)
    if base_logits is not None and data is not None:
        raise typer.BadParameter("--base-logits has its text in it: leave --data out.", context)
    if base_logits is None and len(models) < 2:
        raise typer.BadParameter("name the base and at least one file to compare.", context)
    from dataclasses import replace

    from relay_gguf.folders import DIRS
    from relay_gguf.hub.progress import watching
    from relay_gguf.models.locate import locate
    from relay_gguf.quality.comparison import LogitsPlace, MeasuredText, compare
    from relay_gguf.quality.listing_text import comparison_lines
    from relay_gguf.quality.measure import Computing
    from relay_gguf.quality.model_file import model_file
    from relay_gguf.quality.plot import check_plots, draw
    from relay_gguf.quality.written import comparison_json

    check_plots(plot or [])
    folder = card_folder(models) if into_card else None
    settings = given_settings(context)
    with watching() as screen:
        found = [model_file(locate(name, screen)) for name in models]
    base = found[0] if base_logits is None else None
    files = found[1:] if base_logits is None else found
    line = ReadingLine()
    computing = Computing(replace(settings.load, workers=()), settings.threads, line)
    try:
        compared = compare(
            base,
            files,
            MeasuredText(data, chunk, positions or None),
            computing,
            LogitsPlace(DIRS.user_cache_path / "quality", base_logits or save_base),
        )
        answered = _replies(found, data, computing) if replies else []
    except KeyboardInterrupt:
        line.clear()
        typer.echo(_stopped(save_base, base_logits), err=True)
        raise
    finally:
        line.clear()
    for path in plot or []:
        draw(compared, path)
    if folder is not None:
        write_card(compared, folder)
    if as_json:
        from relay_gguf.quality.replies import replies_json

        result = comparison_json(compared)
        if replies:
            result["replies"] = replies_json(found, answered)
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    for text in comparison_lines(compared):
        typer.echo(text)
    if replies:
        from relay_gguf.quality.replies import reply_lines

        for text in reply_lines(found, answered):
            typer.echo(text)


def _replies(found: list[ModelFile], data: Path | None, computing: Computing) -> list[SideBySide]:
    """Replies to prompts of the text's scenes; a plain text has none."""
    from relay_gguf.quality.replies import side_by_side_replies
    from relay_gguf.quality.scenes import held_out_scenes, is_scenes, read_scenes

    scenes = read_scenes(data) if data is not None and is_scenes(data) else held_out_scenes()
    return side_by_side_replies(found, scenes, computing)


def _stopped(save_base: Path | None, base_logits: Path | None) -> str:
    """What is left of a run that was stopped."""
    kept = save_base or base_logits
    if kept is None:
        return "Stopped. With --save-base FILE a run goes on where it was stopped."
    if kept.exists():
        return "Stopped. The same command goes on here."
    return f"Stopped before {kept} was whole: the same command begins anew."
