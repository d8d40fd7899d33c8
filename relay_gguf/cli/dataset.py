"""`relay-gguf dataset` and `relay-gguf recipe`: their options.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from relay_gguf.errors import ConversionError, SettingsError

from .options import Debug

if TYPE_CHECKING:
    from relay_gguf.dataset.build import OnUnknown, Options
    from relay_gguf.dataset.logs.formats import UnknownLine
    from relay_gguf.dataset.tally import Tally


def dataset(
    logs: Annotated[
        list[Path],
        typer.Argument(metavar="LOG...", help="Log files, also gzipped, or folders of them."),
    ],
    nicks: Annotated[
        list[str] | None,
        typer.Option(
            "--as",
            metavar="NICK",
            help="Nick that becomes the model, with * and ? as wildcards; repeatable. "
            "[list who speaks]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="JSONL file to write. [a pipe; on a terminal, count only]"
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--format", help="irssi, weechat, hexchat or energymech (also ZNC's). [recognized]"
        ),
    ] = None,
    gap: Annotated[
        float, typer.Option(min=0, help="Minutes of silence that end a conversation.")
    ] = 30,
    max_messages: Annotated[
        int, typer.Option(min=16, help="Messages of a conversation, at most.")
    ] = 200,
    max_tokens: Annotated[
        int,
        typer.Option(min=256, help="Tokens of a conversation, at most. Relay's context has 4096."),
    ] = 4096,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Count tokens with this tokenizer.json. [estimate]")
    ] = None,
    min_replies: Annotated[
        int, typer.Option(min=1, help="Messages of the model that a conversation needs.")
    ] = 1,
    join_lines: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Join lines that a person says within this time into one message. [off]",
        ),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="Name of the channel. [as in the log or its name]")
    ] = None,
    no_topic: Annotated[bool, typer.Option("--no-topic", help="Leave topics out.")] = False,
    bios: Annotated[
        Path | None, typer.Option(help='Bios of people: a TOML file with lines NICK = "bio".')
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help="Country whose phone numbers are found without a plus, such as DE or DE,AT; "
            "repeatable. [the locale's, and ten others]",
        ),
    ] = None,
    prefix_nicks: Annotated[
        bool,
        typer.Option(
            "--prefix-nicks", help="Put `nick: ` before the lines of others than the model."
        ),
    ] = False,
    mask: Annotated[
        bool, typer.Option("--mask", help="Replace nicks by made-up ones, in texts too.")
    ] = False,
    sharegpt: Annotated[
        bool,
        typer.Option(
            "--sharegpt", help='Write ShareGPT\'s form: "conversations" of "from" and "value".'
        ),
    ] = False,
    split: Annotated[
        float,
        typer.Option(
            min=0, max=0.9, help="Share of conversations to hold out, in OUT-held-out.jsonl."
        ),
    ] = 0,
    seed: Annotated[
        int, typer.Option(help="Seed for the choice of held-out conversations and made-up nicks.")
    ] = 0,
    unknown: Annotated[
        Path | None, typer.Option(help="File to write lines into that no format knows.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Make training conversations of IRC logs, in Relay's format.

    Messages with passwords, keys, numbers of cards, accounts, phones and identity documents, e-mail
    and IP addresses are left out, and those to services.

    \b
    Examples:
      relay-gguf dataset ~/irclogs
      relay-gguf dataset ~/irclogs --as ann --out chats.jsonl --split 0.05
    """
    from relay_gguf.dataset.build import Options
    from relay_gguf.dataset.drafts import ConversationLimits
    from relay_gguf.dataset.masks import Masks
    from relay_gguf.dataset.regions import parse_regions, usual_regions
    from relay_gguf.dataset.tally import Tally
    from relay_gguf.dataset.token_count import counter, estimate
    from relay_gguf.dataset.turns import TurnStyle

    missing = [path for path in logs if not path.exists()]
    if missing:
        raise SettingsError(f"There is no file {missing[0]}. Check the path.")
    if not nicks:
        raise SettingsError(f"Give --as NICK, who becomes the model. {_who_speaks(logs, name)}")
    if split and out is None:
        raise SettingsError("--split needs --out, the file that it holds out of.")
    options = Options(
        nicks=nicks,
        format=name,
        channel="" if channel is None else f"#{channel.removeprefix('#')}",
        topics=not no_topic,
        bios=_bios(bios),
        limits=ConversationLimits(
            gap=gap * 60,
            max_messages=max_messages,
            max_tokens=max_tokens,
            min_replies=min_replies,
            join_lines=join_lines,
        ),
        style=TurnStyle(prefix_nicks, Masks(seed) if mask else None),
        count=estimate if tokenizer is None else counter(tokenizer),
        regions=usual_regions() if region is None else parse_regions(region),
    )
    tally = Tally()
    _write(
        logs,
        options,
        tally,
        out=out,
        unknown=unknown,
        sharegpt=sharegpt,
        split=split,
        seed=seed,
        force=force,
        quiet=as_json,
    )
    if as_json:
        typer.echo(json.dumps(tally.as_json()))
    else:
        for line in tally.table(exact=tokenizer is not None):
            typer.echo(line, err=True)
        if region is None:
            typer.echo(_looked_for(options.regions), err=True)
    if not tally.conversations:
        raise ConversionError(f"No conversation came out. {_why_none(tally, logs, name)}")
    if out is None and sys.stdout.isatty() and not as_json:
        typer.echo("Nothing was written; --out FILE writes it.", err=True)


def recipe(
    base: Annotated[
        str,
        typer.Argument(
            help="The base to train: a folder of safetensors, or OWNER/NAME on the hub."
        ),
    ],
    data: Annotated[
        Path, typer.Option(help="A data set by `relay-gguf dataset` or `relay-gguf synth filter`.")
    ],
    trainer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="axolotl: a configuration for it. peft: a Python script that needs only torch, "
            "transformers, peft and bitsandbytes.",
        ),
    ] = "axolotl",
    chatml: Annotated[
        bool,
        typer.Option(
            "--chatml", help="The base has <|im_start|> and <|im_end|>. [looked up in a folder]"
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Print a recipe that trains a base as Relay was trained.

    A configuration for axolotl, or a script that does without it.

    \b
    Examples:
      relay-gguf recipe mistralai/Mistral-Nemo-Base-2407 --data chats.jsonl > relay.yml
      relay-gguf recipe ./SmolLM2-135M --data chats.jsonl --trainer peft > train.py
    """
    from relay_gguf.dataset.recipes.trainers import recipe_for

    typer.echo(recipe_for(trainer, base, data, chatml=chatml), nl=False)


def _write(
    logs: Sequence[Path],
    options: Options,
    tally: Tally,
    *,
    out: Path | None,
    unknown: Path | None,
    sharegpt: bool,
    split: float,
    seed: int,
    force: bool,
    quiet: bool,
) -> None:
    """Make the conversations, and write them to the files or to stdout."""
    from relay_gguf.dataset.build import conversations
    from relay_gguf.dataset.jsonl import (
        JsonlWriter,
        NewFiles,
        chat_form,
        held_out_path,
        sharegpt_form,
    )

    named = [] if out is None else [out]
    if out is not None and split:
        named.append(held_out_path(out))
    if unknown in named:
        raise SettingsError(f"{unknown} is asked for twice.")
    with ExitStack() as stack:
        on_unknown = None
        if unknown is not None:
            on_unknown = _into(*stack.enter_context(NewFiles([unknown], force=force)))
        made = NewFiles(named, force=force)
        files = stack.enter_context(made)
        main: TextIO | None = None
        if out is not None:
            main = files[0]
        elif not quiet and not sys.stdout.isatty():
            main = typer.get_text_stream("stdout", encoding="utf-8", errors="replace")
        form = sharegpt_form if sharegpt else chat_form
        held = files[1] if split else None
        writer = JsonlWriter(tally, form, main, held, share=split, seed=seed)
        for conversation in conversations(logs, options, tally, on_unknown):
            writer.write(conversation)
        made.wanted = tally.conversations > 0
        if 0 < tally.conversations == tally.held_out:
            raise ConversionError("All conversations were held out: give a smaller --split.")


def _into(file: TextIO) -> OnUnknown:
    """A function that writes unknown lines, each behind its file and number."""

    def write(path: Path, line: UnknownLine) -> None:
        file.write(f"{path}:{line.number}:{line.raw}\n")

    return write


def _looked_for(regions: Sequence[str]) -> str:
    return (
        "Phone numbers without a plus were looked for as they are written in "
        f"{', '.join(regions)}; --region names other countries."
    )


def _why_none(tally: Tally, logs: Sequence[Path], name: str | None) -> str:
    if tally.too_few_replies:
        return "The model says too little in each; a smaller --min-replies keeps them."
    return f"--as must name somebody who answers. {_who_speaks(logs, name)}"


def _who_speaks(logs: Sequence[Path], name: str | None) -> str:
    from relay_gguf.dataset.build import speakers

    found = speakers(logs, name)
    if not found:
        raise ConversionError("Nobody says anything in these logs; --format may help.")
    listed = ", ".join(f"{nick} ({count:,})" for nick, count in found.most_common(12))
    return f"Who speaks: {listed}."


def _bios(path: Path | None) -> dict[str, str]:
    from relay_gguf.dataset.bios import read_bios

    return {} if path is None else read_bios(path)
