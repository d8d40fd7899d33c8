"""`relay-gguf lmstudio` and `relay-gguf ollama`: what their options are called, what they print.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Debug

if TYPE_CHECKING:
    from relay_gguf.apps.installed import Owned
    from relay_gguf.apps.lmstudio import Places
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

Home = Annotated[Path | None, typer.Option(help="LM Studio's folder. [looked up]")]
Models = Annotated[Path | None, typer.Option(help="Its models folder. [looked up]")]


@lmstudio.command()
def install(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="GGUF files, or OWNER/NAME[:TYPE] on the hub."),
    ],
    publisher: Annotated[str | None, typer.Option(help="Shown there. [relay-gguf]")] = None,
    repo: Annotated[str | None, typer.Option(help="Shown there. [the model's name]")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy also where a link would do.")] = False,
    preset: Annotated[bool, typer.Option("--preset", help="Add the preset Relay.")] = False,
    home: Home = None,
    models: Models = None,
    debug: Debug = False,
) -> None:
    """Put models where LM Studio finds them.

    Hard links, which take no room on the disk; copies where there can be no links.
    """
    from relay_gguf.apps import lmstudio as studio
    from relay_gguf.apps.installed import Done
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
    if all(how is Done.THERE for how in done.values()):
        typer.echo("All of it was there already: nothing has changed.")
    if kept := Done.FOREIGN in done.values():
        typer.echo(f"{studio.PRESET} is there with another content: it stays as it is.", err=True)
    for model in chosen:
        _warn_of_template(model.files[0], model.keys)
    keys = [studio.model_key(name) for name in dict.fromkeys(repo or m.repo for m in chosen)]
    with_preset = preset and not kept
    setting = "take the preset Relay" if with_preset else "set Temperature to 0.3"
    typer.echo(f"\nIn LM Studio, load {_shown(' or '.join(keys))} and {setting}. From a terminal:")
    for key in keys:
        typer.echo(f"  lms load {shlex.quote(_shown(key))} --identifier relay")


@lmstudio.command()
def uninstall(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="FILE-NAME", help="See status.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All, and the preset.")] = False,
    debug: Debug = False,
) -> None:
    """Remove what `install` put there, unless someone has changed it."""
    from relay_gguf.apps import installed
    from relay_gguf.apps import lmstudio as studio
    from relay_gguf.apps.installed import InstallState
    from relay_gguf.display import size
    from relay_gguf.errors import SettingsError

    if bool(names) == everything:
        raise SettingsError("Name the files to remove, or say --all. `status` lists them.")
    paths = studio.find_installed(names)
    removed = installed.uninstall(paths, studio.manifest()) if paths else {}
    says = {InstallState.SAME: "removed", InstallState.CHANGED: "kept", InstallState.MISSING: "missing"}
    for path, (state, n_bytes) in removed.items():
        room = f"  {size(n_bytes)} are free now" if n_bytes else ""
        typer.echo(f"{says[state]:<8}{_shown(path)}{room}")
    if not removed:
        typer.echo("Nothing is installed.")
    if any(state is InstallState.CHANGED for state, _ in removed.values()):
        typer.echo("What was kept was changed since; remove it by hand if you like.", err=True)
        raise typer.Exit(1)


@lmstudio.command()
def status(home: Home = None, models: Models = None, debug: Debug = False) -> None:
    """Show where LM Studio is, and what of ours is in it."""
    from relay_gguf.apps import installed
    from relay_gguf.apps import lmstudio as studio
    from relay_gguf.errors import SettingsError

    owned = installed.read(studio.manifest())
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
    out: Annotated[Path | None, typer.Option("--out", "-o", help="[print it]")] = None,
    create: Annotated[bool, typer.Option("--create", help="Run `ollama create` with it.")] = False,
    name: Annotated[str | None, typer.Option(help="In Ollama. [the file's name]")] = None,
    debug: Debug = False,
) -> None:
    """Write a Modelfile: the file's own chat template, and the sampling defaults."""
    from relay_gguf.apps import ollama as files
    from relay_gguf.errors import ModelError
    from relay_gguf.gguf_file.header import read_header
    from relay_gguf.hub.progress import watching
    from relay_gguf.models.locate import locate

    from .choice import confirming

    with watching(confirming(yes=False)) as screen:
        path = locate(file, screen)
    try:
        keys = read_header(path).keys
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error
    name = files.check_name(name or files.default_name(path))
    text = files.modelfile(path, keys, name, out)
    _warn_of_template(path, keys)
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


def has_relay_template(keys: Metadata) -> bool:
    """Whether a file's chat template speaks as Relay does."""
    found = keys.get("tokenizer.chat_template")
    text = found.value if found is not None and isinstance(found.value, str) else ""
    return "<|im_start|>" in text and "anon" in text


def _warn_of_template(path: Path, keys: Metadata) -> None:
    if not has_relay_template(keys):
        typer.echo(
            f"{_shown(path.name)} has no Relay chat template: commands will not work, and the "
            f"roles are wrong. `relay-gguf template --write` puts it into a file.",
            err=True,
        )


def _print_note(places: Places) -> None:
    if places.note:
        typer.echo(_shown(places.note), err=True)


def _details(entry: Owned) -> str:
    """Size, and whether other names have the same bytes."""
    from relay_gguf.apps.installed import InstallState
    from relay_gguf.display import size

    if entry.state is InstallState.MISSING:
        return "  install it again, or uninstall it"
    found = entry.path.lstat()
    return f"  {size(found.st_size)}{', linked' * (found.st_nlink > 1)}"


def _shown(thing: object) -> str:
    """Text of someone else's on one line, harmless."""
    from relay_gguf.display import visible

    return visible(" ".join(str(thing).splitlines()))
