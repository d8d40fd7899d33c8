"""What `devices`, `plan` and `models` print on made-up machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server import Handler, serving
from test_choose import MACHINES
from typer.testing import CliRunner

from relay_gguf.cli import app as cli
from relay_gguf.cli.download import chosen
from relay_gguf.errors import RelayError
from relay_gguf.folders import config_path
from relay_gguf.llama import inventory
from relay_gguf.machine.devices import Machine
from relay_gguf.models import suggest


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the commands believe that they run on another machine."""

    def install(machine: Machine) -> None:
        for module in (suggest, inventory):
            monkeypatch.setattr(module, "this_machine", lambda **_: machine)

    return install


def run(*arguments: str) -> str:
    """What a command prints; its error is raised."""
    done = CliRunner().invoke(cli.app, arguments)
    if isinstance(done.exception, RelayError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_devices_are_listed_as_a_table_and_as_json(
    on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_gguf.llama.backends.cpu", lambda: "AMD Ryzen 5 5600")
    monkeypatch.setattr("relay_gguf.machine.cpu.physical_cores", lambda: 6)
    on(MACHINES["RTX 2060 + 3090 + 64"])
    assert run("devices") == DEVICES
    found = json.loads(run("devices", "--json"))
    assert found["gpus"][1]["total"] == 24 << 30
    assert (found["cpu"], found["n_cores"]) == ("AMD Ryzen 5 5600", 6)


DEVICES = """\
device  kind        in all  free now  bandwidth
CUDA0   CUDA GPU   6.0 GiB   5.3 GiB   336 GB/s  NVIDIA
CUDA1   CUDA GPU  24.0 GiB  23.3 GiB   936 GB/s  NVIDIA
RAM     CPU       64.0 GiB  48.0 GiB    40 GB/s  AMD Ryzen 5 5600, 6 cores
"""


def test_plan_shows_each_device_and_the_next_better_file(on: Any) -> None:
    on(MACHINES["RTX 4060, 8 GB + 16"])
    assert run("plan") == PLAN
    found = json.loads(run("plan", "--json"))
    assert found["n_gpu_layers"] == 37
    assert [device["device"] for device in found["devices"]] == ["CUDA0", "RAM"]
    assert found["n_layers"] == 41


PLAN = """\
relay-v0.1-Mistral-Nemo-12B-2407-Q4_K_M.gguf, 7.47 GB of weights
37 of 41 layers on CUDA0, 4096 tokens of context in f16, about 20 tokens a second

device      weights    context    compute       left  holds
CUDA0       6.0 GiB    576 MiB    246 MiB    553 MiB  blocks 4 to 39, output
RAM        1023 MiB     64 MiB    241 MiB   10.7 GiB  embedding, blocks 0 to 3, program
Of what is left, 512 MiB of CUDA0 and 512 MiB of RAM stay free for others.
Better: Q8_0 (13.00 GB) takes 12.2 GiB of CUDA0, 5.4 GiB more than is available.
Here it would be 21 of 41 layers on CUDA0, about 6.2 tokens a second.
"""


def test_models_lists_the_published_files(on: Any) -> None:
    on(MACHINES["RTX 3060, 12 GB + 32"])
    assert run("models") == MODELS
    found = json.loads(run("models", "--json"))
    assert [file["type"] for file in found if file["chosen"]] == ["Q4_K_M"]
    assert found[2]["plan"]["n_gpu_layers"] == 41
    on(MACHINES["container of 2 GB"])
    assert run("models").endswith("`relay-gguf chat --demo` takes a small model.\n")


MODELS = """\
  type         size     needs      speed  on this machine
  F16      24.50 GB  25.42 GB    2.3 t/s  18 of 41 layers on CUDA0
  Q8_0     13.00 GB  13.94 GB     10 t/s  35 of 41 layers on CUDA0
* Q4_K_M    7.48 GB   8.39 GB     34 t/s  all 41 layers on CUDA0
  Q2_K      4.79 GB   5.71 GB     51 t/s  all 41 layers on CUDA0
From danlou/relay-v0.1-Mistral-Nemo-2407-GGUF (CC-BY-NC 4.0).
"""


def test_what_is_downloaded_without_a_name(on: Any, capsys: pytest.CaptureFixture[str]) -> None:
    on(MACHINES["RTX 3060, 12 GB + 32"])
    assert chosen(None) == "danlou/relay-v0.1-Mistral-Nemo-2407-GGUF:Q4_K_M"
    assert capsys.readouterr().err == (
        "Relay as Q4_K_M suits this machine: all 41 layers on CUDA0, about 34 tokens a second.\n"
    )
    assert chosen("o/r") == "o/r"


def test_the_speed_of_the_config_file(on: Any) -> None:
    """Every command that chooses obeys it; what is typed goes before it."""
    on(MACHINES["RTX 3060, 12 GB + 32"])
    config_path().parent.mkdir(parents=True)
    config_path().write_text("min_speed = 40\n")

    def starred(*options: str) -> list[str]:
        found = json.loads(run("models", "--json", *options))
        return [file["type"] for file in found if file["chosen"]]

    assert starred() == ["Q2_K"]
    assert run("plan").startswith("relay-v0.1-Mistral-Nemo-12B-2407-Q2_K.gguf")
    assert chosen(None).endswith(":Q2_K")
    assert starred("--min-speed", "20") == ["Q4_K_M"]
    assert chosen(None, 20).endswith(":Q4_K_M")
    config_path().write_text("min_speed = -1\n")
    for choose in (starred, lambda: chosen(None)):
        with pytest.raises(RelayError, match=r"min_speed is -1; it must be 0 or more"):
            choose()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--n-gpu-layers", "10"], "10 of 41 layers on CUDA0, 4096 tokens of context in f16"),
        (["--no-gpu"], "all in RAM, 4096 tokens of context in f16"),
        (["--n-ctx", "8192"], "34 of 41 layers on CUDA0, 8192 tokens of context in f16"),
        (
            ["--slots", "4"],
            "29 of 41 layers on CUDA0, 4096 tokens of context in f16 for each of 4 replies, "
            "16384 for all, about ",
        ),
        (["--kv-type", "q4_0"], "39 of 41 layers on CUDA0, 4096 tokens of context in q4_0"),
        (["--main-gpu", "0"], "37 of 41 layers on CUDA0, 4096 tokens of context in f16"),
        (["--min-speed", "30"], "all 41 layers on CUDA0, 4096 tokens of context in f16"),
    ],
)
def test_the_plan_keeps_the_users_options(on: Any, options: list[str], line: str) -> None:
    on(MACHINES["RTX 4060, 8 GB + 16"])
    assert run("plan", *options).splitlines()[1].startswith(line)


@pytest.mark.parametrize(
    ("machine", "options", "says"),
    [
        ("CPU, 16 GB DDR5", ["--n-gpu-layers", "5"], "this build of llama.cpp finds no GPU"),
        ("RTX 4060, 8 GB + 16", ["--main-gpu", "1"], "There is no GPU 1"),
        ("RTX 4060, 8 GB + 16", ["--tensor-split", "1,2"], "2 shares for 1 GPUs"),
        ("RTX 4060, 8 GB + 16", ["--tensor-split", "a"], "it must be one share for each GPU"),
        ("RTX 4060, 8 GB + 16", ["--kv-type", "f8"], "one of f16, q8_0, q4_0"),
        ("RTX 4060, 8 GB + 16", ["--n-ctx", "2000000"], "takes at most 1024000 tokens"),
        (
            "RTX 4060, 8 GB + 16",
            ["--n-gpu-layers", "3", "--no-gpu"],
            "give only one of these options",
        ),
        ("CPU, 8 GB DDR4", ["--n-ctx", "32768"], "Relay does not fit"),
    ],
)
def test_options_that_do_not_fit_the_machine_are_refused(
    on: Any, machine: str, options: list[str], says: str
) -> None:
    on(MACHINES[machine])
    with pytest.raises(RelayError, match=says):
        run("plan", *options)


def test_a_file_that_is_too_large_says_what_would_do(on: Any, smollm2: Path) -> None:
    on(MACHINES["RTX 4060, 8 GB + 16"])
    assert "all 31 layers on CUDA0" in run("plan", str(smollm2))
    on(Machine(2 << 30, 400 << 20, 30e9))
    with pytest.raises(RelayError, match=r"This would do: --n-ctx 4096\.$"):
        run("plan", str(smollm2), "--n-ctx", "8192", "--kv-type", "f16")


def test_half_a_file_is_not_planned(on: Any, smollm2: Path, tmp_path: Path) -> None:
    on(MACHINES["CPU, 16 GB DDR4"])
    half = tmp_path / "half.gguf"
    half.write_bytes(smollm2.read_bytes()[: 48 << 20])
    with pytest.raises(RelayError, match=r"half\.gguf is truncated: it has 50,331,648 bytes of "):
        run("plan", str(half))


@pytest.mark.thorough
def test_a_file_on_the_hub_is_planned_by_its_head(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = smollm2.read_bytes()
    command = [sys.executable, "-m", "relay_gguf", "plan", "o/r:Q4_1"]
    with serving({"o/r": {"smol-Q4_1.gguf": content}}, monkeypatch, str(tmp_path / "hf")):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("smol-Q4_1.gguf, 97 MB of weights\n")
    assert sum(Handler.sent) < len(content) / 4
