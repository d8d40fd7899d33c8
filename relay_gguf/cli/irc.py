"""`relay-gguf irc`: what its options are called, from start to SIGTERM.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer

from .options import (
    AsDemo,
    Debug,
    KvType,
    Layers,
    MainGpu,
    MaxTokens,
    MinSpeed,
    ModelArgument,
    NCtx,
    NoGpu,
    Temperature,
    TensorSplit,
    Threads,
    Workers,
    Yes,
    given_settings,
)

if TYPE_CHECKING:
    from relay_gguf.irc.bot.addressing import Reply
    from relay_gguf.irc.bot.channel_log import Chronicle
    from relay_gguf.irc.network.hooks import Resident

SCENE_ROOM: Final = 2 << 30
"""Bytes of RAM, at most, for scenes that wait; never more than a quarter of what is free."""
GOODBYE: Final = "The server goes to sleep. Your scenes are saved."


def irc(
    context: typer.Context,
    model: ModelArgument = None,
    demo: AsDemo = False,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 6667,
    password: Annotated[
        str,
        typer.Option(
            envvar="RELAY_IRC_PASSWORD",
            help="That clients must send; needed where others reach the server.",
        ),
    ] = "",
    model_nick: Annotated[str, typer.Option(help="What the model is called.")] = "user",
    reply: Annotated[
        str,
        typer.Option(
            help="When it answers: always, mention, pause, or auto: always to a single person, "
            "among several when named or after a pause."
        ),
    ] = "auto",
    log: Annotated[
        str | None, typer.Option(metavar="STYLE", help="Log channels as irssi or weechat does.")
    ] = None,
    logs: Annotated[Path, typer.Option(help="Folder of the logs.")] = Path("irclogs"),
    bare: Annotated[bool, typer.Option("--bare", help="A server without a model.")] = False,
    aliases: Annotated[
        str | None, typer.Option(metavar="CLIENT", help="Print aliases for irssi or weechat.")
    ] = None,
    yes: Yes = False,
    n_ctx: NCtx = None,
    n_gpu_layers: Layers = None,
    kv_type: KvType = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    worker: Workers = None,
    min_speed: MinSpeed = None,
    threads: Threads = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with defaults, sampling included.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Be an IRC network whose other people are the model: connect with any client."""
    from relay_gguf.folders import DIRS
    from relay_gguf.irc.host import check_address

    if aliases is not None:
        print_aliases(aliases)
        return
    check_address(host, password)
    _check_free(host, port)
    _show_warnings()
    ways = _check(model_nick, reply)
    chronicle = _chronicle(log, logs)
    if bare:
        from relay_gguf.irc.network.hooks import Resident

        asyncio.run(serve(Resident(), host, port, password))
        return
    settings = given_settings(context, config)
    from relay_gguf.hub.progress import watching
    from relay_gguf.irc.bot.bot import House, Model
    from relay_gguf.models.demo import demo_file
    from relay_gguf.models.opening import find_model, open_engine

    with watching(yes=yes) as screen:
        path = demo_file() if demo else find_model(model, settings, screen, yes=yes)
    with open_engine(path, settings, scene_room=_scene_room()) as engine:
        folder, file = DIRS.user_data_path / "irc", str(path.absolute())
        house = House(engine, settings.sampling, folder, file, Path(), model_nick, ways)
        resident = Model(house, chronicle)
        try:
            asyncio.run(serve(resident, host, port, password))
        finally:
            resident.close()


def print_aliases(client: str) -> None:
    """Lines for a client's input or its configuration.

    Raises:
        SettingsError: there are none for it.
    """
    from relay_gguf.errors import SettingsError
    from relay_gguf.irc.bot.orders import aliases

    if client not in ("irssi", "weechat"):
        raise SettingsError(
            f"There are no aliases for {client!r}: irssi and weechat need them, HexChat sends "
            "/retry and the like as they are typed."
        )
    for line in aliases(client):
        typer.echo(line)


async def serve(resident: Resident, host: str, port: int, password: str) -> None:
    """Run a server until Ctrl-C or SIGTERM.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    from relay_gguf.irc.server import Server

    server, stopped = Server(resident, password=password), asyncio.Event()
    try:
        await server.start(host, port)
    except OSError as error:
        raise _taken(host, port, error) from error
    _on_signals(stopped)
    where, number = server.address
    typer.echo(
        f"Connect an IRC client to {where}, port {number}. Ctrl-C ends the server.", err=True
    )
    await stopped.wait()
    await server.stop(GOODBYE)


def _check_free(host: str, port: int) -> None:
    """See whether the port can be had, before a model is loaded for minutes.

    Raises:
        SettingsError: it cannot.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            if os.name == "posix":  # as asyncio does: a port that was just used is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise _taken(host, port, error) from error


def _taken(host: str, port: int, error: OSError) -> Exception:
    from relay_gguf.errors import SettingsError

    why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    hint = " --port takes another one." if error.errno == errno.EADDRINUSE else ""
    return SettingsError(f"Cannot listen on {host}, port {port}: {why}.{hint}")


def _show_warnings() -> None:
    """What goes wrong while the server runs, on stderr."""
    log = logging.getLogger("relay_gguf.irc")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())


def _on_signals(stopped: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stopped.set)
            continue
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))


def _scene_room() -> int:
    from relay_gguf.machine.devices import available_memory

    return min(SCENE_ROOM, (available_memory() or 0) // 4)


def _chronicle(style: str | None, folder: Path) -> Chronicle | None:
    from relay_gguf.errors import SettingsError
    from relay_gguf.irc.bot.channel_log import STYLES, Chronicle

    if style is None:
        return None
    found = [known for known in STYLES if known == style]
    if not found:
        raise SettingsError(f"--log is {style!r}; it may be {' or '.join(STYLES)}.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"Cannot write logs into {folder}: {error.strerror}.") from error
    return Chronicle(folder, found[0])


def _check(nick: str, reply: str) -> Reply:
    """The way to reply.

    Raises:
        SettingsError: there is none of this name, or the nick is none.
    """
    from relay_gguf.errors import SettingsError
    from relay_gguf.irc.bot.addressing import Reply
    from relay_gguf.irc.network.limits import Limits
    from relay_gguf.irc.protocol.names import valid_nick

    ways: list[Reply] = [known for known in get_args(Reply) if known == reply]
    if not ways:
        raise SettingsError(f"--reply is {reply!r}; it may be {', '.join(get_args(Reply))}.")
    if not valid_nick(nick, Limits().nick):
        raise SettingsError(f"{nick!r} is no nick: letters, digits and some signs, no spaces.")
    return ways[0]
