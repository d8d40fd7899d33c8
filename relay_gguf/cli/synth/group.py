"""`relay-gguf synth`: a group of commands, of which the usual one needs no name."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperGroup

from .sample import sample
from .sift import sift

USUAL: Final = "run"
"""The command that `relay-gguf synth MODEL` means."""


HELP: Final = """Let a base model write conversations for a data set.

relay-gguf synth MODEL is short for relay-gguf synth run MODEL, whose --help lists the options.

\b
Examples:
  relay-gguf synth base.gguf --out chats.jsonl --conversations 2000
  relay-gguf synth filter chats-raw.jsonl --out chats.jsonl --split 0.05
"""


class UsualCommandGroup(TyperGroup):
    """A group whose usual command is taken where the first word is not the name of another."""

    usual = USUAL

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the usual command's name before arguments that name none."""
        known = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if known or not args else [self.usual, *args])


synth = typer.Typer(
    name="synth",
    cls=UsualCommandGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
synth.command(USUAL)(sample)
synth.command("filter")(sift)
