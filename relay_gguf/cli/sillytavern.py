"""`relay-gguf sillytavern` and `relay-gguf koboldcpp`: Relay's templates for other programs.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import Debug

NewFile = Annotated[Path | None, typer.Argument(metavar="FILE", help="A new file. [print it]")]


def sillytavern(
    file: NewFile = None,
    channel: Annotated[str, typer.Option(help="Channel of all scenes.")] = "random",
    debug: Debug = False,
) -> None:
    """Write Relay's templates and sampling for SillyTavern.

    The file is for its Master Import. A card's character becomes the model's bio, its scenario the
    topic, your persona your bio.

    \b
    Examples:
      relay-gguf sillytavern relay.json
    """
    from relay_gguf.conversation.cards.sillytavern import master_import

    _write_json(master_import(channel.lstrip("#") or "random"), file)


def koboldcpp(file: NewFile = None, debug: Debug = False) -> None:
    """Write Relay's roles for KoboldCpp.

    The file is for its option --chatcompletionsadapter.
    """
    from relay_gguf.conversation.cards.sillytavern import koboldcpp_adapter

    _write_json(koboldcpp_adapter(), file)


def _write_json(value: object, file: Path | None) -> None:
    from relay_gguf.display import one_line
    from relay_gguf.errors import StoreError

    text = json.dumps(value, indent=4, ensure_ascii=False) + "\n"
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8", newline="\n") as out:
            out.write(text)
    except FileExistsError:
        raise StoreError(f"{file} exists: it stays as it is. Name a new file.") from None
    typer.echo(f"wrote   {one_line(str(file))}")
