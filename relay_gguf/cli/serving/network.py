"""The network that `relay-gguf irc` and `relay-gguf web` open: its options, each spelled out once.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args, get_type_hints

import typer

from relay_gguf.cli.options import (
    AsDemo,
    CacheFile,
    Debug,
    KvType,
    Layers,
    LoopGuard,
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
    check_one_model,
    given_settings,
)

if TYPE_CHECKING:
    import ssl

    from relay_gguf.irc.bot.addressing import Reply
    from relay_gguf.irc.network.hooks import Hooks

GOODBYE: Final = "The server goes to sleep. Your scenes are saved."

Announce = Callable[[str, int, bool], None]
"""Told host and port once the network listens, and whether connections are encrypted."""


def network(
    context: typer.Context,
    announce: Announce,
    /,
    model: ModelArgument = None,
    demo: AsDemo = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; if others reach it, it needs --password.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 6667,
    password: Annotated[
        str,
        typer.Option(
            envvar="RELAY_IRC_PASSWORD", help="Password that clients must send to connect."
        ),
    ] = "",
    model_nick: Annotated[str, typer.Option(help="Nick of the model.")] = "user",
    cast: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NICK:BIO",
            help='A person of the model, in place of the one nick: "kate: a nurse from Cork". '
            "May be given for each one.",
        ),
    ] = None,
    chatter: Annotated[
        int,
        typer.Option(
            min=0,
            max=20,
            metavar="N",
            help="Lines that the people of the model say to each other after a human's.",
        ),
    ] = 2,
    reply: Annotated[
        str,
        typer.Option(
            help="When the model answers: always, mention (when its nick is said), pause (then, "
            "or when nobody has spoken for a while), or auto: always to a single person, among "
            "several as pause."
        ),
    ] = "auto",
    log: Annotated[
        str | None,
        typer.Option(metavar="STYLE", help="Write channel logs in the style of irssi or weechat."),
    ] = None,
    logs: Annotated[Path, typer.Option(help="Folder of the channel logs.")] = Path("irclogs"),
    server_name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the server, as clients show it.")
    ] = "relay.localhost",
    oper_name: Annotated[
        str, typer.Option(metavar="NAME", help="Name that OPER must give.")
    ] = "oper",
    oper_password: Annotated[
        str,
        typer.Option(
            envvar="RELAY_IRC_OPER_PASSWORD",
            help="Password that OPER must give; without it there are no operators.",
        ),
    ] = "",
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Encrypt connections with this certificate (PEM)."),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its private key, if that is not in the same file."),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Channels and private talks that are answered at once. [4, or as fit]"
        ),
    ] = None,
    bare: Annotated[bool, typer.Option("--bare", help="Run the server without a model.")] = False,
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
    cache_file: CacheFile = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    loop_guard: LoopGuard = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with defaults for the model's options, sampling included."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Open the network that the options describe, until Ctrl-C or SIGTERM.

    `announce` is called when it listens.

    Raises:
        SettingsError: an option has a wrong value, or the port is taken.
    """
    from relay_gguf.conversation.company.person import read_people
    from relay_gguf.irc.bot.channel_log import opened_log
    from relay_gguf.irc.host import check_port, check_server_name
    from relay_gguf.irc.tls import tls_context
    from relay_gguf.machine.listen_address import check_reach

    check_one_model(context, model, demo=demo, bare=bare)
    people = read_people(cast or [], model_nick)
    check_reach(host, password, "--password")
    check_server_name(server_name)
    serve = partial(
        _serve,
        host=host,
        port=port,
        password=password,
        name=server_name,
        operator=(oper_name, oper_password),
        tls=tls_context(tls_cert, tls_key),
        announce=announce,
    )
    check_port(host, port)
    _show_warnings()
    reply_mode = _checked(model_nick, reply)
    channel_log = opened_log(log, logs)
    if bare:
        from relay_gguf.irc.network.hooks import Hooks

        serve(Hooks())
        return
    settings = given_settings(context, config)
    from relay_gguf.cli.choice import choosing, confirming
    from relay_gguf.cli.demo import demo_file
    from relay_gguf.folders import DIRS, contexts_folder
    from relay_gguf.hub.progress import watching
    from relay_gguf.irc.bot.bot import Bot
    from relay_gguf.irc.bot.bot_config import BotConfig
    from relay_gguf.irc.bot.open_scenes import MOST_OPEN
    from relay_gguf.models.opening import close_engine, find_model, open_engine, waiting_bytes
    from relay_gguf.models.side_by_side import side_by_side

    with watching(confirming(yes=yes)) as screen:
        choose = choosing(yes=yes)
        path = demo_file() if demo else find_model(model, settings, screen, choose=choose)
    contexts = contexts_folder() if settings.cache_file else None
    room = waiting_bytes()
    n_slots, options = side_by_side(path, settings.load, settings.slots, MOST_OPEN)
    with open_engine(path, settings, options=options, scene_room=room, contexts=contexts) as engine:
        bot_config = BotConfig(
            engine,
            settings.sampling,
            folder=DIRS.user_data_path / "irc",
            path=str(path.absolute()),
            exports=Path(),
            nick=model_nick,
            reply=reply_mode,
            slots=n_slots,
            cast=people,
            chatter=chatter,
        )
        bot = Bot(bot_config, channel_log)
        try:
            serve(bot)
        finally:
            bot.close()
            close_engine(engine)


def with_options_of_network(command: Callable[..., None], port: int = 6667) -> Callable[..., None]:
    """A command with the options of `network` before its own; they come to it as `**options`.

    `port` is where it listens unless told otherwise.
    """
    given = [
        one.replace(default=port) if one.name == "port" else one
        for one in inspect.signature(network, eval_str=True).parameters.values()
    ]
    first, *own = inspect.signature(command, eval_str=True).parameters.values()
    of_network = [one for one in given if one.kind is not one.POSITIONAL_ONLY]
    of_command = [one for one in own if one.kind is not one.VAR_KEYWORD]
    every = [
        one.replace(kind=one.POSITIONAL_OR_KEYWORD) for one in (first, *of_network, *of_command)
    ]
    hints = get_type_hints(command, include_extras=True)
    command.__annotations__ = {one.name: hints.get(one.name, one.annotation) for one in every}
    command.__dict__["__signature__"] = inspect.Signature(every, return_annotation=None)
    return command


def _serve(
    hooks: Hooks,
    *,
    host: str,
    port: int,
    password: str,
    name: str,
    operator: tuple[str, str],
    tls: ssl.SSLContext | None,
    announce: Announce,
) -> None:
    """Run a server until Ctrl-C or SIGTERM; `operator` is a name and a password, '' for none.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    from relay_gguf.irc.file_limit import client_room
    from relay_gguf.irc.lifetime import run_server
    from relay_gguf.irc.network.limits import Limits
    from relay_gguf.irc.network.network import OperatorLogin
    from relay_gguf.irc.server import Server

    limits = Limits()
    limits = replace(limits, clients=client_room(limits.clients))
    login = OperatorLogin(*operator) if operator[1] else None
    server = Server(hooks, password=password, name=name, operator=login, limits=limits)

    def started(host: str, port: int) -> None:
        announce(host, port, tls is not None)

    asyncio.run(run_server(server, host, port, tls=tls, started=started, reason=GOODBYE))


def _show_warnings() -> None:
    """Write the server's warnings and errors to stderr while it runs."""
    log = logging.getLogger("relay_gguf.irc")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())


def _checked(nick: str, reply: str) -> Reply:
    """The value of --reply; --model-nick is checked too.

    Raises:
        SettingsError: the reply mode or the nick is not allowed.
    """
    from relay_gguf.errors import SettingsError
    from relay_gguf.irc.bot.addressing import Reply
    from relay_gguf.irc.network.limits import Limits
    from relay_gguf.irc.protocol.names import valid_nick

    modes: list[Reply] = [known for known in get_args(Reply) if known == reply]
    if not modes:
        raise SettingsError(f"--reply is {reply!r}; it may be {', '.join(get_args(Reply))}.")
    if not valid_nick(nick, Limits().nick):
        raise SettingsError(
            f"--model-nick is {nick!r}, which is not a nick: letters, digits and some signs, "
            "no spaces."
        )
    return modes[0]
