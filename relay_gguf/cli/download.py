"""`relay-gguf download`: its options, what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay_gguf.errors import ModelError

from .options import AsJson, Debug, MinSpeed

if TYPE_CHECKING:
    from relay_gguf.hub.watcher import Watcher


def download(
    model: Annotated[
        str | None,
        typer.Argument(
            help="OWNER/NAME[:TYPE] or OWNER/NAME/FILE.gguf on the hub. [the best for this machine]"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    min_speed: MinSpeed = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Download a model, or check one, and print its path.

    An interrupted download goes on where it ended. Files on this disk are not downloaded again.

    \b
    Examples:
      relay-gguf download
      relay-gguf download danlou/relay-v0.1-Mistral-Nemo-2407-GGUF:Q8_0 --yes
    """
    from relay_gguf.display import size
    from relay_gguf.gguf_file.name import shard_paths
    from relay_gguf.hub.progress import watching
    from relay_gguf.models.locate import find, locate

    from .choice import confirming

    named = chosen(model, min_speed, yes=yes)
    with watching(confirming(yes=yes)) as screen:
        found = find(named)
        path = locate(named, screen) if found is None else found
        if not path.is_file():
            raise ModelError(f"There is no file {path}. Name OWNER/NAME[:TYPE] on the hub.")
        files = [file for file in shard_paths(path) if file.is_file()]
        checked = found is None or _verified(files, screen)
    n_bytes = sum(file.stat().st_size for file in files)
    if as_json:
        fields = {
            "path": str(path.absolute()),
            "files": [str(file.absolute()) for file in files],
            "bytes": n_bytes,
            "downloaded": found is None,
            "checked": checked,
        }
        typer.echo(json.dumps(fields))
        return
    if checked:
        typer.echo(f"Checked: {size(n_bytes)} with the right checksum.", err=True)
    else:
        typer.echo("Not checked: nothing here tells its checksum.", err=True)
    typer.echo(str(path.absolute()))


def chosen(model: str | None, min_speed: float | None = None, *, yes: bool = False) -> str:
    """The model to download: if none was named, the published file for this machine.

    Args:
        model: the model argument.
        min_speed: tokens a second that the file must reach; None for the config file's value.
        yes: if no file is that fast, take the fastest without asking.

    Raises:
        DeclinedError: no file is that fast, and the user chose none.
        MemoryShortError: no published file fits into this machine.
        SettingsError: the speed, or the config file, is wrong.
    """
    if model is not None:
        return model
    from relay_gguf.models.listing import slow_line, suits_line
    from relay_gguf.models.suggest import suggest
    from relay_gguf.settings import usual_settings

    from .choice import choosing

    found = suggest(min_speed=usual_settings({"min_speed": min_speed}).min_speed)
    best, is_slow = found.best, found.best.speed < found.min_speed
    if is_slow and (choose := choosing(yes=yes)) is not None:
        return choose(found, best).file.name
    line = slow_line if is_slow else suits_line
    typer.echo(line(best, found.min_speed), err=True)
    return best.file.name


def _verified(files: list[Path], screen: Watcher) -> bool:
    """Check files that were here before; False if the checksum of one is unknown.

    Raises:
        ModelError: a file is damaged.
    """
    from relay_gguf.hub.checksum import verify

    total, done = sum(file.stat().st_size for file in files), 0

    def count(n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        screen.checking(done, total)

    known = [verify(file, count) for file in files]
    return all(known)
