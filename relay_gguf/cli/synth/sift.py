"""`relay-gguf synth filter RAW...`: its options; scenes are filtered and written as a data set.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay_gguf.cli.options import AsJson, Debug
from relay_gguf.errors import SettingsError

if TYPE_CHECKING:
    from relay_gguf.synth.chosen import ChosenForm, WrittenSet
    from relay_gguf.synth.filters.thresholds import Thresholds


def sift(
    raws: Annotated[
        list[Path],
        typer.Argument(
            metavar="RAW...", help="Files of raw scenes, NAME-raw.jsonl; parts of a run are joined."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="JSONL file of the data set. [NAME.jsonl of NAME-raw]"),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILTER",
            help="Switch a filter off: structure, repetition, language, words, echo, secrets, "
            "links, assistant, likelihood or duplicates; repeatable.",
        ),
    ] = None,
    min_lines: Annotated[int, typer.Option(help="structure: messages of a scene.")] = 4,
    min_each: Annotated[int, typer.Option(help="structure: messages of each of the two.")] = 2,
    max_repeated: Annotated[
        float, typer.Option(help="repetition: times the shares that Gopher's rules allow.")
    ] = 1.0,
    language: Annotated[
        str, typer.Option(help="language, words: the code of the language to keep.")
    ] = "en",
    min_known: Annotated[
        float, typer.Option(help="words: share of words with a Zipf frequency of 2.5 or more.")
    ] = 0.9,
    max_echo: Annotated[
        float, typer.Option(help="echo: likeness of a message and the one before it.")
    ] = 0.85,
    drop_likeliest: Annotated[
        float, typer.Option(help="likelihood: share of scenes to drop, the likeliest ones.")
    ] = 0.05,
    drop_unlikeliest: Annotated[
        float, typer.Option(help="likelihood: share of scenes to drop, the least likely ones.")
    ] = 0.02,
    max_similar: Annotated[
        float, typer.Option(help="duplicates: share of word 5-grams in common with another scene.")
    ] = 0.8,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help="secrets: country whose phone numbers are found without a plus; repeatable. "
            "[the locale's, and ten others]",
        ),
    ] = None,
    sharegpt: Annotated[
        bool,
        typer.Option(
            "--sharegpt", help='Write ShareGPT\'s form: "conversations" of "from" and "value".'
        ),
    ] = False,
    no_head_lines: Annotated[
        bool,
        typer.Option("--no-head-lines", help="Leave out the lines of joining, topic and bio."),
    ] = False,
    split: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, help="Share of conversations to hold out, in OUT-held-out.jsonl."
        ),
    ] = 0,
    seed: Annotated[
        int, typer.Option(help="Seed for what is held out, and for the scenes to read.")
    ] = 0,
    license: Annotated[
        str, typer.Option(metavar="TEXT", help="License of the data set, for its card.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Filter sampled scenes into a data set, with a card and a report.

    No model is needed. NAME-card.md says what it was made of, NAME-report.md what each filter
    dropped, how varied the rest is, and shows 20 scenes.

    \b
    Examples:
      relay-gguf synth filter chats-raw.jsonl --force --without links --max-echo 0.9
      relay-gguf synth filter a-raw.jsonl b-raw.jsonl --out chats.jsonl --sharegpt --split 0.05
    """
    from relay_gguf.dataset.regions import parse_regions, usual_regions
    from relay_gguf.synth.chosen import ChosenForm
    from relay_gguf.synth.filters.thresholds import Thresholds

    at = Thresholds(
        frozenset(without or ()),
        min_lines,
        min_each,
        max_repeated,
        language,
        min_known,
        max_echo,
        drop_likeliest,
        drop_unlikeliest,
        max_similar,
    )
    form = ChosenForm(
        sharegpt,
        not no_head_lines,
        split,
        seed,
        license,
        usual_regions() if region is None else parse_regions(region),
    )
    sift_into(raws, _named(raws, out), at, form, force=force, as_json=as_json)


def sift_into(
    raws: Sequence[Path],
    out: Path,
    at: Thresholds | None = None,
    form: ChosenForm | None = None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Filter scenes into a data set, and print the counts; None takes the usual values."""
    from relay_gguf.dataset.regions import usual_regions
    from relay_gguf.synth import variety
    from relay_gguf.synth.chosen import ChosenForm, write_chosen
    from relay_gguf.synth.filters.thresholds import Thresholds

    written = write_chosen(
        raws,
        out,
        at or Thresholds(),
        form or ChosenForm(regions=usual_regions()),
        force=force,
    )
    if as_json:
        files = [str(path) for path in written.files]
        counts = variety.as_json(written.result, written.found)
        typer.echo(json.dumps({"files": files, **counts}, ensure_ascii=False))
    else:
        _print(written)


def _print(written: WrittenSet) -> None:
    """Print the counts on stderr, and the files on stdout."""
    from relay_gguf.synth.variety import counts_table

    rows = counts_table(written.result)
    width = max(len(dropped) for _, dropped, _, _ in rows)
    for name, dropped, caught, note in rows:
        more = f"({caught} found)" if caught and caught != dropped else ""
        typer.echo(f"{name:<12}{dropped:>{width}}  {more:<16}{note}".rstrip(), err=True)
    found = written.found
    typer.echo(
        f"{found.messages:.1f} messages a scene, {found.reply_words:.1f} words a reply; "
        f"{written.tally.held_out:,} held out.",
        err=True,
    )
    if written.twice:
        typer.echo(f"{written.twice:,} scenes came more than once and count once.", err=True)
    for path in written.files:
        typer.echo(str(path))


def _named(raws: Sequence[Path], out: Path | None) -> Path:
    """The data set's file: as it was named, or after the only file of raw scenes."""
    if out is not None:
        return out
    stem = raws[0].stem
    if len(raws) > 1 or not stem.endswith("-raw"):
        raise SettingsError("--out names the file of the data set, such as --out chats.jsonl.")
    return raws[0].with_name(f"{stem.removesuffix('-raw')}.jsonl")
