"""Filtered scenes as a data set: the conversations in `dataset`'s forms, a card and a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from relay_gguf.dataset.drafts import Conversation
from relay_gguf.dataset.jsonl import (
    JsonlWriter,
    NewFiles,
    chat_form,
    held_out_path,
    sharegpt_form,
)
from relay_gguf.dataset.tally import Tally
from relay_gguf.dataset.token_count import estimate
from relay_gguf.errors import ConversionError, StoreError

from .filters.sieve import Sifted, sift
from .filters.thresholds import Thresholds
from .made_of import card
from .raw.raw_file import scenes_of
from .raw.raw_scene import RawScene
from .raw.run_file import SynthRun, read_run, run_path
from .variety import Variety, report, variety


@dataclass(frozen=True, slots=True)
class ChosenForm:
    """How a data set is written."""

    sharegpt: bool = False
    head_lines: bool = True  # the opening of each conversation: join, topic, bio
    split: float = 0.0  # share that is held out
    seed: int = 0
    license: str = ""
    regions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class WrittenSet:
    """What was written: files, what the filters did, how varied the rest is."""

    files: tuple[Path, ...]
    result: Sifted
    found: Variety
    tally: Tally
    twice: int  # scenes that the files of raw scenes had more than once


def write_chosen(
    raws: Sequence[Path], out: Path, at: Thresholds, form: ChosenForm, *, force: bool
) -> WrittenSet:
    """Filter the scenes of files, and write the data set with its card and report.

    Args:
        raws: files of raw scenes, such as those of parts of a run; a scene counts once.
        out: the file of the data set; card, report and what is held out get names like it.
        at: what the filters allow.
        form: how it is written.
        force: replace files.

    Raises:
        StoreError: a file of scenes cannot be read.
        SettingsError: a file is there already, or a filter lacks a library.
        ConversionError: no scene is left, or all would be held out.
    """
    scenes, twice = read_all(raws)
    if not scenes:
        raise ConversionError(f"There are no scenes in {raws[0]}. `relay-gguf synth` makes some.")
    names = [out, card_path(out), report_path(out)]
    if form.split:
        names.insert(1, held_out_path(out))
    for path in names:
        if path in raws:
            raise StoreError(f"{path} has the raw scenes: give the data set another name.")
    files = NewFiles(names, force=force)
    result = sift(scenes, at, form.regions)
    if not result.kept:
        by = ", ".join(f"{name} {n:,}" for name, n in result.dropped.most_common() if n)
        raise ConversionError(
            f"No scene of {result.total:,} is left; filters dropped: {by}. Their thresholds can be "
            "changed, and --without NAME switches one off."
        )
    found = variety(result.kept)
    tally = Tally()
    with ExitStack() as stack:
        handles = dict(zip(names, stack.enter_context(files), strict=True))
        writer = JsonlWriter(
            tally,
            sharegpt_form if form.sharegpt else chat_form,
            handles[out],
            handles.get(held_out_path(out)),
            share=form.split,
            seed=form.seed,
        )
        for scene in result.kept:
            writer.write(_conversation(scene, head_lines=form.head_lines))
        if tally.conversations == tally.held_out:
            raise ConversionError("All conversations were held out: give a smaller --split.")
        handles[card_path(out)].write(
            card(
                out.name,
                list(_runs(raws)),
                result,
                at,
                license=form.license,
                form=_form_text(form),
                n_held_out=tally.held_out,
            )
        )
        ends = Counter(scene.end for scene in scenes)
        handles[report_path(out)].write(report(out.name, result, found, ends, form.seed))
    return WrittenSet(tuple(names), result, found, tally, twice)


def card_path(out: Path) -> Path:
    """The data card beside a data set."""
    return out.with_name(f"{out.stem}-card.md")


def report_path(out: Path) -> Path:
    """The report beside a data set."""
    return out.with_name(f"{out.stem}-report.md")


def read_all(raws: Sequence[Path]) -> tuple[list[RawScene], int]:
    """The scenes of files, each once, by run and number; and how many came again.

    Raises:
        StoreError: a file cannot be read.
    """
    found: dict[tuple[str, int], RawScene] = {}
    count = 0
    for path in raws:
        for scene in scenes_of(path):
            count += 1
            found.setdefault((scene.run, scene.number), scene)
    return [found[key] for key in sorted(found)], count - len(found)


def _runs(raws: Sequence[Path]) -> Iterator[SynthRun]:
    """The runs of files of raw scenes, each once; one whose run file is gone is left out."""
    seen = set[str]()
    for path in raws:
        if run_path(path).exists():
            run = read_run(run_path(path))
            if run.identity not in seen:
                seen.add(run.identity)
                yield run


def _conversation(scene: RawScene, *, head_lines: bool) -> Conversation:
    messages = (*(scene.opening if head_lines else ()), *scene.talk)
    replies = sum(message.nick == "user" for message in scene.talk)
    return Conversation(messages, replies, sum(map(estimate, messages)))


def _form_text(form: ChosenForm) -> str:
    kind = (
        "`conversations` of `from` and `value`"
        if form.sharegpt
        else ("`messages` of `role` and `content`")
    )
    return f"a JSON line each with {kind}; the roles are system, anon and user"
