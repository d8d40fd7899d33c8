"""`relay-gguf worker`: its options, what it prints.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Debug

if TYPE_CHECKING:
    from relay_gguf.workers.lending import Lending


def worker(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free port.")] = 50052,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Device to lend, as `devices` lists it, or CPU; repeatable. [GPUs, or CPU]",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory of each device at most: 4G. [all that is free]"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads, if the CPU is lent. [one for each physical core]"),
    ] = None,
    cache: Annotated[
        bool,
        typer.Option("--cache/--no-cache", help="Keep large tensors on disk for the next load."),
    ] = False,
    trusted: Annotated[
        bool,
        typer.Option("--i-trust-this-network", help="Listen on a public address all the same."),
    ] = False,
    debug: Debug = False,
) -> None:
    """Lend this machine's GPUs or CPU to another machine.

    `chat`, `irc`, `web` and RelayLM there name it by --worker.

    \b
    Examples:
      relay-gguf worker
      relay-gguf worker --host 192.168.1.7 --memory 4G --cache
    """
    from relay_gguf.errors import WorkerError
    from relay_gguf.fit.memory import n_bytes
    from relay_gguf.workers.address import reach
    from relay_gguf.workers.lending import Lending, Terms, listening_place
    from relay_gguf.workers.tensor_cache import begin, cache_folder

    number, port = listening_place(host, port)
    if reach(number) == "public" and not trusted:
        raise WorkerError(
            f"Anybody may reach {host}, and the protocol has no password: whoever connects can "
            "read and change this machine's memory. Listen on 127.0.0.1 and use an SSH tunnel, or "
            "on an address of your own network. --i-trust-this-network skips this check."
        )
    size = None if memory is None else n_bytes(memory)
    folder = str(cache_folder()) if cache else ""
    lending = Lending(
        Terms(
            host=number,
            port=port,
            devices=device or (),
            memory=size,
            threads=threads,
            cache=folder,
            debug=_wants_log(debug),
        )
    )
    for name in ("SIGTERM", "SIGHUP"):  # the second one where a terminal is closed
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit(0))
    mark = begin(Path(folder)) if folder else None
    try:
        lending.start()
        for line in _lines(lending):
            typer.echo(line)
        lending.watch(lambda text: typer.echo(text, err=True))
    finally:
        lending.close()
        if mark is not None:
            mark.unlink(missing_ok=True)


def _lines(lending: Lending) -> Iterator[str]:
    """Lines on the lent devices, the risk, and how other machines use them."""
    from relay_gguf.display import one_line
    from relay_gguf.fit.memory import binary
    from relay_gguf.workers.address import reach

    terms = lending.terms
    yield f"Listening on {terms.host}, port {terms.port}. Ctrl-C ends the worker."
    for device in lending.devices:
        what = f"{device.name} ({one_line(device.description)})"
        yield f"Lent: {what}, {binary(device.free)} of {binary(device.total)} free"
    if terms.cache:
        yield f"Large tensors are kept in {terms.cache}."
    yield (
        "The protocol has no password: whoever reaches the port can read and change this machine's "
        "memory. It belongs on a trusted network or in an SSH tunnel."
    )
    there = terms.host
    if reach(there) == "loopback":
        there = "127.0.0.1"
        tunnel = f"{terms.port}:127.0.0.1:{terms.port}"
        yield f"On the other machine: ssh -N -L {tunnel} {socket.gethostname()}"
    elif there == "0.0.0.0":
        there = socket.gethostname()
    yield f"On the other machine: relay-gguf chat --worker {there}:{terms.port}"


def _wants_log(debug: bool) -> bool:
    import logging

    return debug or logging.getLogger("relay_gguf").isEnabledFor(logging.DEBUG)
