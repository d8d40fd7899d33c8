"""`relay-gguf doctor`: does llama.cpp work on this machine, and if not, what to do.

Loads nothing heavy by itself: the command line imports it for --help.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import AsJson, Debug, Workers, given_settings

if TYPE_CHECKING:
    from relay_gguf.doctor.result import Verdict


def doctor(
    context: typer.Context,
    worker: Workers = None,
    report: Annotated[
        bool, typer.Option("--report", help="Print a report to paste into an issue.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Test every device again, with advice where one fails.

    Broken devices are not used from then on.

    Exits with 1 if no model can run.
    """
    from relay_gguf.doctor.advice import amx_advice, verdict_lines
    from relay_gguf.doctor.verdict import renewed
    from relay_gguf.machine.cpu import has_amx
    from relay_gguf.machine.wheels import rebuild
    from relay_gguf.workers.address import parse_addresses
    from relay_gguf.workers.protocol import ask_all

    addresses = parse_addresses(given_settings(context).load.workers)
    ask_all(addresses)  # llama.cpp would end the process if one did not answer
    found = renewed(
        thorough=True, workers=[str(address) for address in addresses], on_device=_testing
    )
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        build = _build(found) if found.results else ""
        compiling = rebuild()
        lines = list(verdict_lines(found, compiling))
        if build and (advice := amx_advice(build, has_amx(), compiling)):
            lines.append(advice)
        if report:
            from relay_gguf.doctor.bug_report import report_lines

            lines = list(report_lines(found, lines, build))
        for line in lines:
            typer.echo(line)
    if found.processor is None or found.trouble:
        raise typer.Exit(1)


def _build(found: Verdict) -> str:
    """llama.cpp's line on how it was built, without another self-test."""
    from relay_gguf.doctor.self_test import SELFTEST

    os.environ |= {**found.hidden, SELFTEST: "0"}
    from relay_gguf.llama.backends import build

    return build()


def _testing(device: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"Testing {device} ...", err=True)
