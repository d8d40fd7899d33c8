"""`relay-gguf template`: its options.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relay_gguf.cli.options import Debug
from relay_gguf.errors import SettingsError


def template(
    file: Annotated[
        Path | None,
        typer.Argument(help="A GGUF file, or the first shard of a split one. [print Relay's]"),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Put Relay's template into the file.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Print a file's chat template, or put Relay's into it.

    With Relay's template its commands work in any app.

    \b
    Examples:
      relay-gguf template model-Q4_K_M.gguf
      relay-gguf template model-Q4_K_M.gguf --write
    """
    from relay_gguf.convert.inspect.rewrite import put_template, template_of
    from relay_gguf.convert.template import relay_template
    from relay_gguf.display import one_line, visible

    from .screen import copying

    if file is None:
        if write:
            raise SettingsError(
                "--write needs the file to write into: relay-gguf template FILE --write."
            )
        typer.echo(relay_template())
    elif not write:
        for line in template_of(file).split("\n"):
            typer.echo(visible(line))
    else:
        copying(put_template(file))
        typer.echo(one_line(f"{file} has Relay's chat template now. Its tensors are as they were."))
