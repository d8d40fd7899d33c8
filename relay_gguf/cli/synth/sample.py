"""`relay-gguf synth MODEL`: its options; scenes are sampled, then filtered with the usual filters.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay_gguf.cli.options import (
    AsDemo,
    AsJson,
    Debug,
    KvType,
    Layers,
    MainGpu,
    NoGpu,
    TensorSplit,
    Threads,
    Yes,
    check_one_model,
    given_settings,
)

if TYPE_CHECKING:
    from relay_gguf.settings import ChatSettings
    from relay_gguf.synth.pace import Pace
    from relay_gguf.synth.run_options import PreparedRun

RAW: Final = "-raw.jsonl"
"""Ends the name of the file of raw scenes beside a data set."""
EVERY: Final = 60.0
"""Seconds between two lines of progress where stderr is not a terminal."""


def sample(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="The base model: a GGUF file, OWNER/NAME[:TYPE] on the hub, or the name of a "
            "model in Ollama.",
            show_default=False,
        ),
    ] = None,
    demo: AsDemo = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSONL file of the data set; what was sampled goes into NAME-raw.jsonl beside it. "
            "Required.",
        ),
    ] = None,
    conversations: Annotated[
        int | None, typer.Option("--conversations", "-n", min=1, help="How many scenes to sample.")
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="A-B",
            help="The numbers of the scenes, for parts of a run on several machines.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 0,
    head: Annotated[
        str,
        typer.Option(
            help="The lines before a scene: relay (channel, topic, bio) or author (the single line "
            "of the author's data set)."
        ),
    ] = "relay",
    starters: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="First lines for anon: a text file with one a line, or JSON lines; self lets the "
            "model write them.",
        ),
    ] = "self",
    field: Annotated[
        str, typer.Option(help="Field of the starters, where they are JSON lines.")
    ] = "",
    starters_license: Annotated[
        str, typer.Option(metavar="TEXT", help="License of the starters, for the data card.")
    ] = "",
    min_zipf: Annotated[
        float,
        typer.Option(
            help="Frequency that each word of a starter must have (wordfreq's Zipf scale); the "
            "author's was 2.5. [off]",
            show_default=False,
        ),
    ] = 0.0,
    n_examples: Annotated[
        int, typer.Option(min=0, max=3, help="Example scenes before each new one.")
    ] = 2,
    examples: Annotated[
        Path | None,
        typer.Option(
            help="Example scenes: text with an empty line between scenes, or the output of "
            "`relay-gguf dataset`. [31 of ours]"
        ),
    ] = None,
    block: Annotated[
        int, typer.Option(min=1, help="Scenes in a row that have the same examples.")
    ] = 32,
    words: Annotated[
        Path | None,
        typer.Option(help="Channels, topics and bios: a TOML file. [ours]"),
    ] = None,
    temperature: Annotated[float, typer.Option(help="How freely tokens are chosen.")] = 0.9,
    top_k: Annotated[int, typer.Option(help="Choose among so many tokens; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Share of probability to choose from.")] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Leave out tokens less likely than this share of the likeliest.")
    ] = 0.05,
    repeat_penalty: Annotated[
        float, typer.Option(help="Make tokens that were there less likely; 1 is off.")
    ] = 1.0,
    max_lines: Annotated[int, typer.Option(min=4, help="Lines of a scene, at most.")] = 40,
    scene_tokens: Annotated[int, typer.Option(min=64, help="Tokens of a scene, at most.")] = 1024,
    slots: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Scenes at once. [8, or as many as memory has room for]"),
    ] = None,
    n_ctx: Annotated[
        int | None,
        typer.Option(help="Tokens of a scene with its prompt. [as many as both may have]"),
    ] = None,
    n_gpu_layers: Layers = None,
    kv_type: KvType = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    threads: Threads = None,
    no_filter: Annotated[
        bool, typer.Option("--no-filter", help="Sample only; `synth filter` is for later.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Let a base model write conversations for a data set.

    The model goes on with the raw text of an IRC channel. Each finished scene is kept at once in
    NAME-raw.jsonl; the same command again goes on where it was. At the end the scenes are filtered
    into NAME.jsonl; `relay-gguf synth filter` does that again with other thresholds.

    \b
    Examples:
      relay-gguf synth Mistral-Nemo-Base-2407-Q4_K_M.gguf --out chats.jsonl --conversations 2000
      relay-gguf synth base.gguf --out part2.jsonl --range 1000-1999 --starters questions.txt
    """
    from relay_gguf.errors import SettingsError
    from relay_gguf.synth.run_options import SynthOptions, numbers, prepare

    check_one_model(context, model, demo=demo)
    if model is None and not demo:
        raise SettingsError("Name a base model, such as a GGUF file, or say --demo to try it out.")
    if out is None:
        raise SettingsError("--out names the file of the data set, such as --out chats.jsonl.")
    wanted = numbers(conversations, span)
    options = SynthOptions(
        seed,
        head,
        n_examples,
        examples,
        block,
        starters,
        field,
        min_zipf,
        words,
        temperature,
        top_k,
        top_p,
        min_p,
        repeat_penalty,
        max_lines,
        scene_tokens,
    )
    prepared = prepare(options, starters_license)
    if prepared.starters is not None:
        counts = prepared.starters
        typer.echo(
            f"{len(prepared.prompts.starters):,} starters of {counts.lines:,} lines; left out: "
            f"{counts.seen:,} seen before, {counts.too_long:,} too long, {counts.rare:,} with rare "
            "words.",
            err=True,
        )
    raw = raw_path(out)
    n_scenes = _sample(
        "demo" if demo else str(model),
        prepared,
        raw,
        wanted,
        # a chat's context length and workers are not meant for this
        replace(given_settings(context), n_ctx=n_ctx, worker=()),
        slots=slots,
        demo=demo,
        yes=yes,
    )
    if no_filter:
        typer.echo(json.dumps({"raw": str(raw), "scenes": n_scenes}) if as_json else str(raw))
        return
    from .sift import sift_into

    sift_into([raw], out, force=True, as_json=as_json)


def raw_path(out: Path) -> Path:
    """The file of raw scenes beside a data set."""
    return out.with_name(f"{out.stem}{RAW}")


def _sample(
    named: str,
    prepared: PreparedRun,
    raw: Path,
    wanted: Sequence[int],
    settings: ChatSettings,
    *,
    slots: int | None,
    demo: bool,
    yes: bool,
) -> int:
    """Sample the scenes that a file of raw scenes lacks; how many of the wanted it has then."""
    from relay_gguf.cli.choice import confirming
    from relay_gguf.cli.demo import demo_file
    from relay_gguf.gguf_file.gguf_model import read_gguf
    from relay_gguf.hub.progress import watching
    from relay_gguf.llama.load import check_file
    from relay_gguf.models.locate import locate
    from relay_gguf.models.opening import open_base
    from relay_gguf.synth.pace import Pace
    from relay_gguf.synth.raw.raw_file import RawFile
    from relay_gguf.synth.raw.run_file import begin_or_compare
    from relay_gguf.synth.room import load_options
    from relay_gguf.synth.run_options import base_facts, synth_run
    from relay_gguf.synth.sampler import SceneSampler

    if demo:
        path = demo_file()
    else:
        with watching(confirming(yes=yes)) as screen:
            path = locate(named, screen)
    check_file(path)
    model = read_gguf(path)
    model.check()
    run = synth_run(base_facts(model), prepared)
    raw.parent.mkdir(parents=True, exist_ok=True)
    with RawFile(raw, lambda: begin_or_compare(raw, run)) as file:
        left = [number for number in wanted if number not in file.done]
        if len(left) < len(wanted):
            typer.echo(
                f"{len(wanted) - len(left):,} of {len(wanted):,} scenes are in {raw} already.",
                err=True,
            )
        if not left:
            return len(wanted)
        prompts, limits = prepared.prompts, prepared.settings.limits
        load = load_options(model, settings.load, prompts, limits, slots)
        with open_base(path, load, settings.threads) as engine:
            typer.echo(f"{engine.n_slots} scenes at once: {engine.plan.summary}.", err=True)
            sampler = SceneSampler(engine, prepared.prompts, prepared.settings, run.identity)
            pace = Pace(len(left))
            show = _screen()

            def tick() -> None:
                pace.tick(sampler.n_tokens)
                show(pace, False)

            try:
                with closing(sampler.scenes(left, tick)) as scenes:
                    for scene in scenes:
                        file.add(scene)
                        pace.add(scene)
                        tick()
            except KeyboardInterrupt:
                show(pace, True)
                typer.echo(
                    f"Stopped. {len(file.done):,} scenes are in {raw}; the same command goes on.",
                    err=True,
                )
                raise
            show(pace, True)
    return len(wanted)


def _screen() -> Callable[[Pace, bool], None]:
    """A function that shows how far it is on stderr: a live line, or a line now and then."""
    live = sys.stderr.isatty()
    last = time.monotonic()

    def show(pace: Pace, over: bool) -> None:
        nonlocal last
        if live:
            sys.stderr.write(f"\r{pace.line}\x1b[K" + "\n" * over)
            sys.stderr.flush()
        elif over or time.monotonic() - last >= EVERY:
            last = time.monotonic()
            typer.echo(pace.line, err=True)

    return show
