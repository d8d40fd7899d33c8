"""Plans and chats with workers: what travels, what it costs, which is named where."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from lent import Lent
from test_plan import Q4_K_M, machine

from relay_gguf.cli import app as cli
from relay_gguf.errors import RelayError, WorkerError
from relay_gguf.fit.memory import GIB
from relay_gguf.fit.plan import LoadOptions, fit
from relay_gguf.fit.speed import tokens_per_second
from relay_gguf.fit.traffic import MESSAGES, traffic
from relay_gguf.machine.devices import Gpu
from relay_gguf.models.listing import plan_json, plan_lines


def remote(name: str, free: int, latency: float = 0.001) -> Gpu:
    return Gpu(name, f"attic:{name[-1]}", "RPC", free * GIB, free * GIB, latency=latency)


def test_traffic_is_counted_for_each_worker() -> None:
    on = replace(machine(32), gpus=(remote("RPC0", 6), remote("RPC1", 6)))
    plan = fit(Q4_K_M, on, LoadOptions())
    first, second = traffic(plan, on)
    assert plan.whole
    assert (first.device, first.address) == ("RPC0", "attic:0")
    assert first.on_load + second.on_load == sum(Q4_K_M.blocks) + Q4_K_M.output
    assert first.there == second.there == first.back + MESSAGES == 4 * Q4_K_M.n_embd + MESSAGES
    assert second.back == 4 * Q4_K_M.n_vocab
    assert list(traffic(plan, machine(32))) == []


def test_waiting_for_the_network_counts() -> None:
    near = replace(machine(32), gpus=(remote("RPC0", 12, 0.0),))
    far = replace(machine(32), gpus=(remote("RPC0", 12, 0.02),))
    plan = fit(Q4_K_M, near, LoadOptions())
    slower = 1 / tokens_per_second(plan, far) - 1 / tokens_per_second(plan, near)
    assert slower == pytest.approx(0.02)


def test_the_plan_names_addresses() -> None:
    on = replace(machine(32), gpus=(remote("RPC0", 12), remote("RPC1", 1)))
    plan = fit(Q4_K_M, on, LoadOptions(main_gpu=0))
    said = "\n".join(plan_lines(plan, on))
    assert "RPC0 is attic:0. 7.09 GB travel there on load" in said
    assert "which waits 1.00 ms for the network." in said
    assert "RPC1 is attic:1. Nothing goes there." in said
    assert plan_json(plan, on)["workers"][0]["address"] == "attic:0"


@pytest.mark.thorough
def test_commands_that_plan(
    worker: Lent, smollm2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.app(["devices", "--json", "--worker", worker.address], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["gpus"][0]["description"] == worker.address
    cli.app(["plan", str(smollm2), "--worker", worker.address], standalone_mode=False)
    said = capsys.readouterr().out
    assert "all 31 layers on RPC0" in said
    assert f"RPC0 is {worker.address}. 97 MB travel there on load" in said
    cli.app(["models", "--json", "--worker", worker.address], standalone_mode=False)
    plans = [file["plan"] for file in json.loads(capsys.readouterr().out)]
    assert any("RPC0" in json.dumps(plan) for plan in plans if plan)


def test_errors_of_workers_are_ours() -> None:
    assert issubclass(WorkerError, RelayError)


@pytest.mark.thorough
def test_a_chat_on_a_worker(worker: Lent, pico: Path) -> None:
    command = [sys.executable, "-m", "relay_gguf", "chat", str(pico), "--plain"]
    options = ["--worker", worker.address, "--max-tokens", "3", "--seed", "1"]
    run = subprocess.run(
        [*command, *options], input="hi\n/quit\n", capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "The model is loaded: all 3 layers on RPC0." in run.stdout + run.stderr
    assert "<user>" in run.stdout
    assert not [p for p in psutil.Process().children(recursive=True) if "serving" in p.name()]
