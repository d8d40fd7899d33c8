"""What the options of `relay-gguf safety` name: questions, models, judges.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from relay_gguf.cli.options import given_settings
from relay_gguf.errors import SettingsError

if TYPE_CHECKING:
    from relay_gguf.hub.watcher import Watcher
    from relay_gguf.safety.figures.study import SetTold
    from relay_gguf.safety.questions.question import Question
    from relay_gguf.safety.run_setup import Guard, Setup, Subject


def given_questions(
    named: list[str], harmless: list[str], sample: int | None, seed: int, *, yes: bool
) -> tuple[list[Question], list[SetTold]]:
    """The questions to ask, and what is told of their sets."""
    from relay_gguf.safety.figures.study import SetTold
    from relay_gguf.safety.questions.published import TRIAL, find_questions
    from relay_gguf.safety.questions.question import numbered, repeats
    from relay_gguf.safety.questions.stratified import sample as sampled

    if not named and not harmless:
        raise SettingsError(
            "Give --questions FILE or --harmless FILE; `--questions trial` takes a small set of "
            "our own."
        )
    sets = []
    with _screen(yes=yes) as screen:
        for names, flag in ((named, False), (harmless, True)):
            sets += [find_questions(name, screen, harmless=flag) for name in names]
    everything = numbered(one for inside in sets for one in inside)
    asked = everything if sample is None else sampled(everything, sample, seed)
    told = []
    for inside in sets:
        source, again = inside[0].source, repeats(inside)
        own = [one for one in asked if one.source == source]
        told.append(
            SetTold(
                name=source,
                n_all=len(inside),
                n_asked=len(own),
                n_harmless=sum(one.harmless for one in own),
                same_place=again.same_place,
                other_place=again.other_place,
                trial=source == TRIAL,
            )
        )
    return asked, told


def _screen(*, yes: bool) -> AbstractContextManager[Watcher]:
    from relay_gguf.cli.choice import confirming
    from relay_gguf.hub.progress import watching

    return watching(confirming(yes=yes))


def given_setup(
    context: typer.Context,
    out: Path,
    questions: list[Question],
    *,
    models: list[str],
    judge: list[str],
    numbers: str | None,
    max_tokens: int,
    as_chat: bool,
    condition: str,
    conditions: Path | None,
    judges: Path | None,
    codes: bool,
    slots: int,
    yes: bool,
) -> Setup:
    from dataclasses import replace

    from relay_gguf.models.locate import locate
    from relay_gguf.safety.run_folder import RunFolder
    from relay_gguf.safety.run_setup import Setup

    settings = given_settings(context)
    with _screen(yes=yes) as screen:
        subjects = _subjects(
            [locate(model, screen) for model in models], condition, conditions, as_chat=as_chat
        )
        guards = _guards(judge, judges, screen)
    return Setup(
        folder=RunFolder(out),
        questions=questions,
        subjects=subjects,
        guards=guards,
        max_tokens=max_tokens,
        codes=codes,
        numbers=_range(numbers, len(questions)),
        load=replace(settings.load, n_slots=slots),
        n_threads=settings.threads,
    )


def _subjects(
    paths: list[Path], condition: str, conditions: Path | None, *, as_chat: bool
) -> list[Subject]:
    """The files under their conditions, a Relay under a second one where that was asked for."""
    from functools import partial

    from relay_gguf.safety.condition import AS_CHAT, choose_condition, read_conditions
    from relay_gguf.safety.run_setup import subject

    known = read_conditions(conditions)
    found = []
    for path in paths:
        found.append(subject(path, partial(choose_condition, conditions=known, name=condition)))
        if as_chat and found[-1].condition.relay:
            found.append(subject(path, lambda _: AS_CHAT, ".as-chat"))
    if as_chat and len(found) == len(paths):
        raise SettingsError("--as-chat asks as Relay's own chat does, and no model is a Relay.")
    return found


def _guards(named: list[str], own: Path | None, screen: Watcher) -> list[Guard]:
    """The judges, named by their forms, or by their files where two have the same form."""
    from dataclasses import replace

    from relay_gguf.llama.first_read.first_read import readable_model
    from relay_gguf.models.locate import find, locate
    from relay_gguf.safety.judges.judge_form import choose_form, read_judges
    from relay_gguf.safety.run_folder import name_of
    from relay_gguf.safety.run_setup import Guard

    forms, guards = read_judges(own), []
    for name in named:
        file, _, form = name.rpartition("=") if find(name) is None else (name, "", "")
        model = readable_model(locate(file or name, screen))
        chosen = choose_form(model, forms, form if file else "")
        guards.append(Guard(chosen.name, model, chosen))
    names = [guard.name for guard in guards]
    return [
        replace(guard, name=name_of(guard.model.path)) if names.count(guard.name) > 1 else guard
        for guard in guards
    ]


def _range(said: str | None, n: int) -> range | None:
    if said is None:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", said)
    if match is None or not int(match[1]) < int(match[2]) <= n:
        raise SettingsError(f"--range is {said!r}; it must be A:B, with 0 <= A < B <= {n}.")
    return range(int(match[1]), int(match[2]))


def demo_named(wanted: bool) -> list[str]:
    """The demo model's file, if it is wanted, made on first use."""
    if not wanted:
        return []
    from relay_gguf.cli.demo import demo_file

    return [str(demo_file())]
