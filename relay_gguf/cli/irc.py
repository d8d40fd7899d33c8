"""`relay-gguf irc`: its options, and what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer

from .options import (
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


def irc(
    context: typer.Context,
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
    aliases: Annotated[
        str | None,
        typer.Option(
            metavar="CLIENT", help="Print aliases for the orders, for irssi or weechat, and exit."
        ),
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
    """Run an IRC server with the model in every channel; connect with any IRC client.

    Each channel is a conversation of its own, and is saved. The message of the day lists the
    orders that the bot takes, such as retry.

    \b
    Examples:
      relay-gguf irc --demo
      relay-gguf irc --demo --cast "kate: a nurse from Cork" --cast "bob: a pirate"
      relay-gguf irc --host 0.0.0.0 --password SECRET --log irssi
    """
    from relay_gguf.conversation.company.person import read_people
    from relay_gguf.irc.bot.channel_log import opened_log
    from relay_gguf.irc.host import check_port, check_server_name
    from relay_gguf.irc.tls import tls_context
    from relay_gguf.machine.listen_address import check_reach

    if aliases is not None:
        print_aliases(aliases)
        return
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
    from relay_gguf.folders import DIRS, contexts_folder
    from relay_gguf.hub.progress import watching
    from relay_gguf.irc.bot.bot import Bot
    from relay_gguf.irc.bot.bot_config import BotConfig
    from relay_gguf.irc.bot.open_scenes import MOST_OPEN
    from relay_gguf.models.opening import close_engine, find_model, open_engine, waiting_bytes
    from relay_gguf.models.side_by_side import side_by_side

    from .choice import choosing, confirming
    from .demo import demo_file

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


def print_aliases(client: str) -> None:
    """Print lines for a client's input or configuration.

    Raises:
        SettingsError: there are no aliases for the client.
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


def _serve(
    hooks: Hooks,
    *,
    host: str,
    port: int,
    password: str,
    name: str,
    operator: tuple[str, str],
    tls: ssl.SSLContext | None,
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
    started = partial(_print_address, encrypted=tls is not None)
    asyncio.run(run_server(server, host, port, tls=tls, started=started, reason=GOODBYE))


def _print_address(host: str, port: int, *, encrypted: bool) -> None:
    how = " with TLS" if encrypted else ""
    typer.echo(
        f"Connect an IRC client to {host}, port {port}{how}. Ctrl-C ends the server.", err=True
    )


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
