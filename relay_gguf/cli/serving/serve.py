"""`relay-gguf serve`: its options, and what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from relay_gguf.cli.options import (
    AsDemo,
    CacheFile,
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
    Yes,
    check_one_model,
    given_settings,
)


def serve(
    context: typer.Context,
    model: ModelArgument = None,
    demo: AsDemo = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; if others reach it, it needs --api-key.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8080,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="RELAY_API_KEY", help="Key that clients must send, as Authorization: Bearer KEY."
        ),
    ] = "",
    slots: Annotated[
        int | None,
        typer.Option(metavar="N", help="Replies that are written at once. [4, or as fit]"),
    ] = None,
    yes: Yes = False,
    n_ctx: NCtx = None,
    n_gpu_layers: Layers = None,
    kv_type: KvType = None,
    main_gpu: MainGpu = None,
    tensor_split: TensorSplit = None,
    no_gpu: NoGpu = None,
    min_speed: MinSpeed = None,
    threads: Threads = None,
    cache_file: CacheFile = None,
    temperature: Temperature = None,
    max_tokens: MaxTokens = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with defaults for the model's options, sampling included."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Serve OpenAI's API, for programs that speak it.

    "user" is the human and "assistant" the model; Relay's commands are messages: /join #boston.
    It needs starlette and uvicorn: pip install 'relay-gguf[serve]'.

    \b
    Examples:
      relay-gguf serve --demo
      relay-gguf serve model.gguf --port 9000 --slots 8
      relay-gguf serve --host 0.0.0.0 --api-key SECRET
    """
    from relay_gguf.errors import SettingsError

    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"`relay-gguf serve` needs {' and '.join(missing)}: pip install 'relay-gguf[serve]', "
            "or from a clone: pip install '.[serve]'."
        )
    check_one_model(context, model, demo=demo)
    settings = given_settings(context, config)
    if settings.load.workers:
        raise SettingsError("`relay-gguf serve` cannot use workers yet: leave them out.")
    from relay_gguf.cli.choice import choosing, confirming
    from relay_gguf.cli.demo import demo_file
    from relay_gguf.convert.template import relay_template
    from relay_gguf.folders import contexts_folder
    from relay_gguf.hub.progress import watching
    from relay_gguf.machine.listen_address import check_reach
    from relay_gguf.models.opening import close_engine, find_model, open_slots, waiting_bytes
    from relay_gguf.models.side_by_side import side_by_side
    from relay_gguf.serve.listening import bound, run_app
    from relay_gguf.serve.paths import Api

    check_reach(host, api_key, "--api-key")
    listener = bound(host, port)
    _show_warnings()
    with watching(confirming(yes=yes)) as screen:
        choose = choosing(yes=yes)
        path = demo_file() if demo else find_model(model, settings, screen, choose=choose)
    contexts = contexts_folder() if settings.cache_file else None
    room = waiting_bytes()
    n_slots, options = side_by_side(path, settings.load, settings.slots, 0)
    with open_slots(path, settings, options, scene_room=room, contexts=contexts) as engine:
        api = Api(engine, relay_template(), settings.sampling)
        shown = f"[{host}]" if ":" in host else host
        typer.echo(
            f"OpenAI's API is at http://{shown}:{listener.getsockname()[1]}/v1, for {n_slots} "
            f"{'reply' if n_slots == 1 else 'replies'} at once. Ctrl-C ends the server.",
            err=True,
        )
        try:
            run_app(api.app(host=host, key=api_key), listener, engine.cancel)
        finally:
            close_engine(engine)


def _show_warnings() -> None:
    """Write the server's warnings and errors to stderr while it runs."""
    log = logging.getLogger("relay_gguf.serve")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
