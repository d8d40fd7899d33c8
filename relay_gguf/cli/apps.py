"""`relay-gguf lmstudio` and `relay-gguf ollama`: their options, and what they print.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Debug

if TYPE_CHECKING:
    from relay_gguf.apps.lmstudio import Places
    from relay_gguf.apps.manifest import OwnedFile
    from relay_gguf.gguf_file.header import Metadata


def _app(name: str, text: str) -> typer.Typer:
    return typer.Typer(
        name=name,
        help=text,
        callback=lambda: None,  # or an app of one command would be that command
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


lmstudio = _app("lmstudio", "Put models into LM Studio, and take them out again.")
ollama = _app("ollama", "Make models for Ollama.")

Home = Annotated[Path | None, typer.Option(help="LM Studio's home folder. [looked up]")]
Models = Annotated[Path | None, typer.Option(help="LM Studio's models folder. [looked up]")]


@lmstudio.command()
def install(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="GGUF files, or OWNER/NAME[:TYPE] on the hub."),
    ],
    publisher: Annotated[
        str | None, typer.Option(help="Publisher that LM Studio shows. [relay-gguf]")
    ] = None,
    repo: Annotated[
        str | None, typer.Option(help="Model name that LM Studio shows. [by the file's name]")
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy, even where a hard link is possible.")
    ] = False,
    preset: Annotated[
        bool, typer.Option("--preset", help="Add the preset Relay, with its sampling.")
    ] = False,
    home: Home = None,
    models: Models = None,
    debug: Debug = False,
) -> None:
    """Put models where LM Studio finds them.

    Files are linked, which takes no room on the disk; where no hard link is possible, copied.

    \b
    Examples:
      relay-gguf lmstudio install model-Q4_K_M.gguf --preset
    """
    from relay_gguf.apps import lmstudio as studio
    from relay_gguf.apps.installed import InstallResult
    from relay_gguf.display import size
    from relay_gguf.hub.progress import watching
    from relay_gguf.models.locate import locate

    from .choice import confirming

    places = studio.find_places(home, models)
    with watching(confirming(yes=False)) as screen:
        chosen = studio.open_models([locate(file, screen) for file in files])

    def on_copy(path: Path, n_bytes: int) -> None:
        typer.echo(f"Copying {size(n_bytes)} of {_shown(path)} ...", err=True)

    done = studio.install(
        chosen,
        places,
        publisher=studio.PUBLISHER if publisher is None else publisher,
        repo=repo,
        copy=copy,
        preset=preset,
        on_copy=on_copy,
    )
    _print_note(places)
    for path, how in done.items():
        typer.echo(f"{how.value:<8}{_shown(path)}")
    if all(how is InstallResult.THERE for how in done.values()):
        typer.echo("All of it was there already: nothing has changed.")
    if kept := InstallResult.FOREIGN in done.values():
        typer.echo(f"{studio.PRESET} exists with other content: it stays as it is.", err=True)
    for model in chosen:
        _warn_of_template(model.files[0], model.metadata)
    keys = [studio.model_key(name) for name in dict.fromkeys(repo or m.repo for m in chosen)]
    with_preset = preset and not kept
    setting = "take the preset Relay" if with_preset else "set Temperature to 0.3"
    typer.echo(f"\nIn LM Studio, load {_shown(' or '.join(keys))} and {setting}. From a terminal:")
    for key in keys:
        typer.echo(f"  lms load {shlex.quote(_shown(key))} --identifier relay")


@lmstudio.command()
def uninstall(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE", help="Names of files, as `status` lists them, or what `install` took."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove all files and the preset.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Remove files that `install` put there, unless changed since."""
    from relay_gguf.apps import installed
    from relay_gguf.apps import lmstudio as studio
    from relay_gguf.apps.manifest import InstallState
    from relay_gguf.display import size
    from relay_gguf.errors import SettingsError

    if bool(names) == everything:
        raise SettingsError(
            "Name the files to remove, or give --all. `relay-gguf lmstudio status` lists them."
        )
    paths = studio.find_installed(names and [_as_installed(name) for name in names])
    removed = installed.uninstall(paths, studio.manifest_path()) if paths else {}
    says = {
        InstallState.SAME: "removed",
        InstallState.CHANGED: "kept",
        InstallState.MISSING: "missing",
    }
    for path, (state, n_bytes) in removed.items():
        room = f"  {size(n_bytes)} are free now" if n_bytes else ""
        typer.echo(f"{says[state]:<8}{_shown(path)}{room}")
    if not removed:
        typer.echo("Nothing is installed.")
    if any(state is InstallState.CHANGED for state, _ in removed.values()):
        typer.echo(
            "Files marked `kept` were changed since; remove them by hand if you like.", err=True
        )
        raise typer.Exit(1)


def _as_installed(name: str) -> str:
    """The file behind OWNER/NAME[:TYPE], if it is on this disk; any other name as it is."""
    from relay_gguf.errors import ModelError
    from relay_gguf.hub.repo import parse_repo
    from relay_gguf.models.locate import find

    if parse_repo(name) is None:
        return name
    try:
        return str(find(name) or name)
    except ModelError:
        return name


@lmstudio.command()
def status(home: Home = None, models: Models = None, debug: Debug = False) -> None:
    """Show LM Studio's folders, and what `install` put there."""
    from relay_gguf.apps import lmstudio as studio
    from relay_gguf.apps import manifest
    from relay_gguf.errors import SettingsError

    owned = manifest.read(studio.manifest_path())
    preset = None
    try:
        places = studio.find_places(home, models)
        typer.echo(f"home    {_shown(places.home or 'unknown')}")
        typer.echo(f"models  {_shown(places.models)}")
        _print_note(places)
        preset = places.preset
    except SettingsError as error:
        typer.echo(_shown(error))
    for entry in owned.values():
        typer.echo(f"{entry.state.value:<8}{_shown(entry.path)}{_details(entry)}")
    if not owned.keys() - {preset}:
        typer.echo("No model is installed.")
    if preset is not None and preset not in owned:
        typer.echo("The preset is not ours." if preset.exists() else "No preset is installed.")


@ollama.command()
def modelfile(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A GGUF file, or OWNER/NAME[:TYPE] on the hub.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Path of the Modelfile. [print it]")
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make the model, by `ollama create`.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name in Ollama. [by the file's name]")] = None,
    debug: Debug = False,
) -> None:
    """Write a Modelfile for a GGUF file.

    It has the file's own chat template and its sampling defaults.

    \b
    Examples:
      relay-gguf ollama modelfile model-Q4_K_M.gguf --create
    """
    from relay_gguf.apps import ollama as files
    from relay_gguf.gguf_file.header import read_header
    from relay_gguf.hub.progress import watching
    from relay_gguf.models.locate import locate

    from .choice import confirming

    with watching(confirming(yes=False)) as screen:
        path = locate(file, screen)
    metadata = read_header(path).metadata
    name = files.check_name(name or files.default_name(path))
    text = files.modelfile(path, metadata, name, out)
    _warn_of_template(path, metadata)
    program = files.find_program() if create else ""
    if out is not None:
        how = "wrote" if files.write(out, text) else "there"
        typer.echo(f"{how:<8}{_shown(out)}")
    elif not create:
        typer.echo(text, nl=False)
    if not create:
        return
    version = files.version(program)
    if version and version < files.MIN_VERSION:
        typer.echo("This Ollama is too old for the file's template: update it.", err=True)
    files.create(program, name, text, out)
    typer.echo(f"Now: ollama run {name}")


def has_relay_template(metadata: Metadata) -> bool:
    """Whether a file's chat template has Relay's roles."""
    found = metadata.get("tokenizer.chat_template")
    text = found.value if found is not None and isinstance(found.value, str) else ""
    return "<|im_start|>" in text and "anon" in text


def _warn_of_template(path: Path, metadata: Metadata) -> None:
    if not has_relay_template(metadata):
        typer.echo(
            f"{_shown(path.name)} does not have Relay's chat template: commands will not work, and "
            f"the roles are wrong. `relay-gguf template FILE --write` puts it into a file.",
            err=True,
        )


def _print_note(places: Places) -> None:
    if places.note:
        typer.echo(_shown(places.note), err=True)


def _details(entry: OwnedFile) -> str:
    """Size, and whether other names have the same bytes."""
    from relay_gguf.apps.manifest import InstallState
    from relay_gguf.display import size

    if entry.state is InstallState.MISSING:
        return "  install it again, or uninstall it"
    found = entry.path.lstat()
    return f"  {size(found.st_size)}{', linked' * (found.st_nlink > 1)}"


def _shown(thing: object) -> str:
    """Text from elsewhere on one line, without control characters."""
    from relay_gguf.display import visible

    return visible(" ".join(str(thing).splitlines()))
