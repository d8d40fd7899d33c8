"""`relay-gguf safety`: its options, what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay_gguf.cli.options import (
    AsDemo,
    Debug,
    KvType,
    Layers,
    MainGpu,
    NCtx,
    NoGpu,
    TensorSplit,
    Threads,
    Yes,
)
from relay_gguf.errors import SettingsError

from .given import demo_named, given_questions, given_setup

if TYPE_CHECKING:
    from relay_gguf.safety.figures.study import SetTold
    from relay_gguf.safety.judges.phrases import Phrases
    from relay_gguf.safety.run_setup import Setup


def safety(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="GGUF files, OWNER/NAME[:TYPE] on the hub, or names of models in Ollama.",
        ),
    ] = None,
    demo: AsDemo = False,
    questions: Annotated[
        list[str] | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="A file of harmful questions, a data set on the hub such as "
            "declare-lab/HarmfulQA, or `trial`; repeatable.",
        ),
    ] = None,
    harmless: Annotated[
        list[str] | None,
        typer.Option(
            "--harmless", metavar="FILE", help="The same, of harmless questions; repeatable."
        ),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            metavar="GUARD[=FORM]",
            help="A guard model that judges the answers; repeatable. [refusals by wording alone]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; a re-run goes on.")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Take N questions, of each category its share. [all]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --sample.")] = 0,
    numbers: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="A:B",
            help="Take only the questions A to B - 1, counted from 0: one machine's part.",
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 256,
    as_chat: Annotated[
        bool,
        typer.Option("--as-chat", help="Ask a Relay model a second time, as in a chat of its own."),
    ] = False,
    condition: Annotated[
        str, typer.Option(metavar="NAME", help="How to ask all models. [by their names]")
    ] = "",
    conditions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="More ways to ask, a TOML file.")
    ] = None,
    judges: Annotated[
        Path | None, typer.Option(metavar="FILE", help="More judges, a TOML file.")
    ] = None,
    phrases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="More phrases of refusals, a TOML file.")
    ] = None,
    codes: Annotated[
        bool, typer.Option("--codes", help="Let the judge name categories of what is unsafe.")
    ] = False,
    author: Annotated[
        bool,
        typer.Option(
            "--author",
            help="Print the original's count instead: the share of answers that the guard calls "
            "safe, by topic.",
        ),
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print questions and answers, which may be harmful.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell memory and time, and do nothing.")
    ] = False,
    slots: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Answers at once.")] = 8,
    n_ctx: NCtx = None,
    n_gpu_layers: Layers = None,
    kv_type: KvType = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    threads: Threads = None,
    yes: Yes = False,
    debug: Debug = False,
) -> None:
    """Measure what models answer and what they refuse.

    Guard models judge the answers. Harmful compliance, refusal and over-refusal are three different
    numbers; each is reported with its interval, by category and file, and files are compared on the
    same questions. No question is printed without --show. docs/safety.md says what each number is,
    and is not.

    \b
    Examples:
      relay-gguf safety --demo --questions trial --out run
      relay-gguf safety relay-Q4_K_M.gguf --questions declare-lab/CategoricalHarmfulQA
        --judge Llama-Guard-3-8B.Q4_K_M.gguf --sample 110 --out run
    """
    from relay_gguf.cli.safety.advance import shown
    from relay_gguf.safety.evaluation import evaluate, expenses
    from relay_gguf.safety.judges.phrases import read_phrases
    from relay_gguf.safety.run_setup import claim

    if not models and not demo:
        raise SettingsError("Give one or more models, or --demo.")
    if out is None:
        raise SettingsError("Give --out, a folder for answers, verdicts and the report.")
    wording = read_phrases(phrases)
    found, told = given_questions(questions or [], harmless or [], sample, seed, yes=yes)
    setup = given_setup(
        context,
        out,
        found,
        models=[*(models or []), *demo_named(demo)],
        judge=judge or [],
        numbers=numbers,
        max_tokens=max_tokens,
        as_chat=as_chat,
        condition=condition,
        conditions=conditions,
        judges=judges,
        codes=codes,
        slots=slots,
        yes=yes,
    )
    if author and not any(guard.form.tells_unsafe for guard in setup.guards):
        raise SettingsError("--author counts what a judge calls unsafe: give --judge.")
    for expense in expenses(setup):
        typer.echo(f"To do: {expense.told()}", err=True)
    if dry_run:
        return
    claim(setup)
    for _ in shown(evaluate(setup)):
        pass
    _finish(setup, wording, told, seed, author=author, show=show)


def _finish(
    setup: Setup, wording: Phrases, told: list[SetTold], seed: int, *, author: bool, show: bool
) -> None:
    """Write the report and its tables, and print what was asked for."""
    from relay_gguf.disk import write_whole
    from relay_gguf.safety.figures.author_count import author_lines
    from relay_gguf.safety.figures.bars import picture
    from relay_gguf.safety.figures.safety_report import (
        card_section,
        report,
        summary_lines,
        table_csv,
    )
    from relay_gguf.safety.results import study, write_judged

    found = study(setup, wording, told, seed)
    write_judged(setup, wording)
    for name, text in (
        ("report.md", report(found)),
        ("report.csv", table_csv(found)),
        ("report.svg", picture(found)),
        ("safety.md", card_section(found)),
    ):
        write_whole(setup.folder.path / name, text.encode("utf-8", "replace"))
    if show:
        _show(setup, wording)
    if author:
        judge = found.unsafe_judges[0]
        for file in found.files:
            if len(found.files) > 1:
                typer.echo(f"# {file.name}")
            for line in author_lines(file.outcomes, judge):
                typer.echo(line)
    else:
        for line in summary_lines(found):
            typer.echo(line)
    typer.echo(f"{setup.folder.path} has report.md, report.csv, report.svg, safety.md.", err=True)


def _show(setup: Setup, wording: Phrases) -> None:
    """Print each question, its answers, and what was said of them."""
    from relay_gguf.display import one_line, visible
    from relay_gguf.safety.results import judged_rows

    for one in setup.subjects:
        typer.echo(f"# {one_line(one.name)}")
        for row in judged_rows(setup, one, wording):
            said = one_line(str(row.get("moderation", "not judged")))
            typer.echo(f"? {one_line(row['question'])}\n{visible(row['answer'])}\n= {said}\n")
