"""Ctrl-C stops a conversion, and the same command resumes it."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path

import pytest
from conversions import Pair, journal
from stopped_runs import PATIENCE, start, wait_for

from relay_gguf.convert.job import prepare
from relay_gguf.convert.request import Request


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals like these")
@pytest.mark.parametrize(
    ("options", "n_tensors"),
    [
        pytest.param(["--quant", "Q8_0", "--quant", "Q4_K_M"], 20, marks=pytest.mark.thorough),
        (["--quant", "Q4_K_M", "--merge-base", "nf4-double"], 5),
        pytest.param(["--preset", "all"], 2, marks=pytest.mark.thorough),
    ],
)
def test_ctrl_c_stops_and_the_same_command_resumes(
    options: list[str], n_tensors: int, real: Pair, tmp_path: Path
) -> None:
    process = start(real, tmp_path, *options)
    wait_for(process, tmp_path, n_tensors)
    process.send_signal(signal.SIGINT)
    n_then = len(journal(tmp_path))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors == "Stopped. The same command resumes here; with --restart it begins anew.\n"
    assert not list(tmp_path.glob("*.gguf"))
    assert n_tensors < len(journal(tmp_path)) <= n_then + 20, "of 272 tensors: it stops at once"


def test_ctrl_c_is_not_lost_while_llama_cpp_plans(
    wanted: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two lines of its log, where Python runs, and no exception passes through C."""
    log, sent = logging.getLogger("relay_gguf.llama.cpp"), False

    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            nonlocal sent
            if not sent:
                sent = True
                signal.raise_signal(signal.SIGINT)

    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    monkeypatch.setattr(log, "level", logging.DEBUG)
    monkeypatch.setattr(log, "handlers", [Interrupting()])
    with pytest.raises(KeyboardInterrupt):
        prepare(wanted)
    assert sent
    assert unraisable == []
