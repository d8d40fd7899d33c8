"""kill -9 while a base is read where it is: the same command goes on, and nothing is left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conversions import Pair, journal
from hub_server import Handler
from stopped_runs import PATIENCE, start

from relay_gguf.convert.request import Request

OPTIONS = ("-q", "Q8_0", "-q", "Q4_K_M", "--merge-base", "nf4-double", "--pre", "smollm")
N_TENSORS = 21
MOMENTS: dict[str, Callable[[type[Handler], Path], bool]] = {
    "headers": lambda hub, out: len(hub.asked) > 1,
    "the first part": lambda hub, out: len(journal(out)) == 1 and len(hub.asked) > 8,
    "a few tensors": lambda hub, out: len(journal(out)) > 4,
    "most tensors": lambda hub, out: len(journal(out)) > N_TENSORS - 3,
    "all tensors": lambda hub, out: len(journal(out)) > N_TENSORS,
}


@pytest.mark.thorough
@pytest.mark.parametrize("reached", MOMENTS.values(), ids=MOMENTS)
def test_a_killed_conversion_goes_on(
    reached: Callable[[type[Handler], Path], bool],
    hub: type[Handler],
    pico_mistral: Pair,
    whole: Path,
    wanted: Request,
    tmp_path: Path,
) -> None:
    out, pair = tmp_path / "out", Pair(Path("o/base"), pico_mistral.adapter)
    hub.mood.latency = 0.1
    process = start(pair, out, *OPTIONS)
    wait_until(lambda: reached(hub, out), process)
    process.kill()
    process.communicate()
    done = journal(out)
    hub.mood.latency = 0.0
    before = list(hub.given)
    process = start(pair, out, *OPTIONS)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    made = {path.name: path.read_bytes() for path in out.glob("*.gguf")}
    assert made == {path.name: path.read_bytes() for path in whole.glob("*.gguf")}
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("*partial*"))
    again = sum(n_bytes for _, _, n_bytes in hub.given[len(before) :])
    if len(done) > N_TENSORS:
        assert again < 10_000, "headers alone"


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)
