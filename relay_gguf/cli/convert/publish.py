"""`relay-gguf inspect`, `card` and `upload`: their options.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay_gguf.cli.options import Debug
from relay_gguf.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay_gguf.convert.publish.upload import UploadPlan

Folder = Annotated[Path, typer.Argument(help="A folder of GGUF files, the --out of a conversion.")]


def inspect(
    file: Annotated[Path, typer.Argument(help="A GGUF file, or the first shard of a split one.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a problem would break a chat.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Show what a GGUF file is, and what is wrong with it.

    Wrong is what would spoil a chat with it as Relay. Only the header is read, so large files take
    no longer than small ones.

    \b
    Examples:
      relay-gguf inspect model-Q4_K_M.gguf
      relay-gguf inspect model-Q4_K_M.gguf --strict --json
    """
    from relay_gguf.convert.inspect import inspection
    from relay_gguf.convert.inspect.finding import has_problem
    from relay_gguf.convert.inspect.overview import inspect_json, inspect_lines
    from relay_gguf.convert.inspect.read_check import check_read
    from relay_gguf.gguf_file.gguf_model import read_gguf

    model = read_gguf(file)
    findings = inspection.inspect(model)
    if not any(finding.check == "kind" for finding in findings):
        findings += check_read(model)
    if as_json:
        typer.echo(json.dumps(inspect_json(model, findings)))
    else:
        for line in inspect_lines(model, findings):
            typer.echo(line)
    if strict and has_problem(findings):
        raise typer.Exit(1)


def card(
    folder: Folder,
    repo: Annotated[
        str,
        typer.Option(metavar="OWNER/NAME", help="The repository on the hub that README.md is for."),
    ] = "",
    debug: Debug = False,
) -> None:
    """Write the model card and checksums of a folder anew.

    The files are README.md, SHA256SUMS and lm_studio_preset.json. `convert` writes them by itself;
    use this after a change of the files. A README.md of your own stays as it is. A safety.md that
    `relay-gguf safety` wrote becomes a section of README.md.
    """
    from relay_gguf.convert.publish.folder import write_folder, written_lines

    if repo:
        _check_repo(repo)
    for line in written_lines(write_folder(folder, repo), folder):
        typer.echo(line)


def upload(
    folder: Folder,
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A repository on the hub.")],
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the files to send and send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")] = False,
    debug: Debug = False,
) -> None:
    """Send a folder of GGUF files to the hub.

    Files that it has already are not sent. Each file is checked against SHA256SUMS first.

    \b
    Examples:
      relay-gguf upload models OWNER/NAME --dry-run
      relay-gguf upload models OWNER/NAME --private
    """
    from relay_gguf.convert.publish import upload as uploading
    from relay_gguf.hub import api as hub

    _check_repo(repo)
    if not (dry_run or yes or _can_ask()):
        raise SettingsError(
            "There is no terminal to ask whether to send: give --yes, or --dry-run."
        )
    try:
        remote, compared = hub.remote(repo), True
    except hub.UnreachableError:
        if not dry_run:
            raise
        remote, compared = None, False
    if private and remote is not None and not remote.private:
        raise ModelError(f"{repo} exists and is public. Make it private on its page first.")
    plan = _checked(folder, repo, None if remote is None else remote.digests)
    for line in uploading.plan_lines(plan, compared=compared):
        typer.echo(line)
    if not plan.to_send:
        typer.echo(f"{repo} has all of it.")
        return
    hidden = private if remote is None else remote.private
    what = f"{uploading.total(plan)} to {repo}, {'private' if hidden else 'public'}"
    if dry_run:
        typer.echo(f"Would send {what}.")
    elif yes or typer.confirm(f"Send {what}?"):
        typer.echo(uploading.upload(plan, hub.send, private=private))
    else:
        typer.echo("Nothing was sent.")


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _check_repo(repo: str) -> None:
    """Refuse text that is not the name of a repository.

    Raises:
        SettingsError: it is not `owner/name`.
    """
    from relay_gguf.hub.repo import RepoFile, parse_repo

    if parse_repo(repo) != RepoFile(repo):
        raise SettingsError(f"{repo!r} is not the name of a repository: give OWNER/NAME.")


def _checked(folder: Path, repo: str, there: Mapping[str, str] | None) -> UploadPlan:
    """The plan of an upload; a bar shows the reading, if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from relay_gguf.convert.publish.upload import plan_upload

    console = Console(stderr=True)
    n_bytes = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking", total=n_bytes)
        return plan_upload(folder, repo, there, lambda n_bytes: bar.advance(task, n_bytes))
