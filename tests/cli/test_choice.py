"""What the user chooses, or what is said, where no file is as fast as it should be."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from test_choose import MACHINES, cpu
from test_models import run

from relay_gguf import suggest_relay_model
from relay_gguf.cli import choice
from relay_gguf.cli import download as command
from relay_gguf.fit.catalogue import catalogue
from relay_gguf.hub.progress import LineScreen
from relay_gguf.hub.watcher import DeclinedError
from relay_gguf.llama import inventory
from relay_gguf.machine.devices import Machine
from relay_gguf.models import opening, suggest
from relay_gguf.settings import ChatSettings

SLOW = cpu(32, 27, 5)
REPO = catalogue()[0].repo
Says = Callable[..., None]


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Another machine; files that are on its disk; the hub's speed; whether somebody is there."""

    def install(
        machine: Machine,
        *here: str,
        terminal: bool = True,
        speed: float | None = 11.5e6,
    ) -> None:
        for module in (suggest, inventory):
            monkeypatch.setattr(module, "this_machine", lambda **_: machine)
        files = {ftype: Path(f"/models/relay-{ftype}.gguf") for ftype in here}
        monkeypatch.setattr(suggest, "files_here", lambda: files)
        monkeypatch.setattr(choice, "download_rate", lambda *_: speed)
        monkeypatch.setattr(choice, "can_ask", lambda: terminal)
        monkeypatch.setattr(opening, "locate", lambda name, _: Path("/hub", name.partition(":")[2]))

    return install


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What the user types."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def model(**options: Any) -> str:
    """The name of the file that the chat takes."""
    choose = choice.choosing(yes=options.pop("yes", False))
    return opening.find_model(None, ChatSettings(**options), LineScreen(), choose=choose).name


TABLE = """\
No file of Relay's reaches 5 tokens a second on this machine:
     type        size    speed  ten words  download
  1  F16     24.50 GB  0.2 t/s       76 s    36 min
  2  Q8_0    13.00 GB  0.3 t/s       41 s      here
  3  Q4_K_M   7.48 GB  0.5 t/s       24 s    11 min
* 4  Q2_K     4.79 GB  0.8 t/s       16 s     7 min
From danlou/relay-v0.1-Mistral-Nemo-2407-GGUF (CC-BY-NC 4.0: not for commercial use).
Which one? Its number or type, Enter for Q2_K, q to leave: """


def test_the_table_and_the_question_on_the_screen(
    on: Says, typed: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    on(SLOW, "Q8_0")
    typed("3\n")
    assert model() == "Q4_K_M"
    said = capsys.readouterr()
    assert said.err == TABLE
    assert said.out == ""


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ("\n", "Q2_K"),
        ("1\n", "F16"),
        (" q4_k_m \n", "Q4_K_M"),
        ("Q8_0\n", "relay-Q8_0.gguf"),
        ("0\n5\nQ5_K\n\u00b2\n2\n", "relay-Q8_0.gguf"),
    ],
)
def test_an_answer_is_a_number_a_type_or_enter(
    on: Says, typed: Says, answer: str, taken: str
) -> None:
    on(SLOW, "Q8_0")
    typed(answer)
    assert model() == taken


def test_after_a_wrong_answer_the_user_is_asked_again(
    on: Says, typed: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    on(SLOW)
    typed("five\n\n")
    assert model() == "Q2_K"
    assert (
        "'five' is neither a number from 1 to 4 nor one of F16, Q8_0, Q4_K_M, Q2_K.\n"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("answer", ["q\n", "Quit\n"])
def test_q_leaves_without_a_file(on: Says, typed: Says, answer: str) -> None:
    on(SLOW)
    typed(answer)
    with pytest.raises(
        DeclinedError, match=r"^No file was chosen\. `relay-gguf chat --demo` takes"
    ):
        model()


def test_ctrl_d_aborts(on: Says, typed: Says) -> None:
    on(SLOW)
    typed("")
    with pytest.raises(typer.Abort):
        model()


def test_offline_the_minutes_are_not_known(
    on: Says, typed: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    on(cpu(16, 12, 5), "Q8_0", "Q2_K", speed=None)
    typed("\n")
    assert model() == "relay-Q2_K.gguf"
    rows = capsys.readouterr().err.splitlines()[2:-2]
    assert [row.split()[-1] for row in rows] == ["?", "here"], "F16 and Q8_0 do not fit"


def test_nothing_is_measured_where_all_is_here(
    on: Says, typed: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(SLOW, "F16", "Q8_0", "Q4_K_M", "Q2_K")
    monkeypatch.setattr(choice, "download_rate", lambda *_: pytest.fail("asked the hub"))
    typed("\n")
    assert model() == "relay-Q2_K.gguf"


LINE = (
    "No file of Relay's reaches 5 tokens a second on this machine. Q2_K is taken: all in RAM, "
    "about 0.8 tokens a second, so 16 s for a reply of ten words. `relay-gguf models` lists all, "
    "`relay-gguf chat --demo` takes a small one.\n"
)


@pytest.mark.parametrize(("terminal", "yes"), [(False, False), (True, True), (False, True)])
def test_where_nobody_is_asked(
    on: Says, typed: Says, capsys: pytest.CaptureFixture[str], terminal: bool, yes: bool
) -> None:
    on(SLOW, terminal=terminal)
    typed("1\n")
    assert model(yes=yes) == "Q2_K"
    assert capsys.readouterr().err == LINE


def test_a_busy_machine_is_told(on: Says, capsys: pytest.CaptureFixture[str]) -> None:
    on(replace(SLOW, measured_busy=True), terminal=False)
    model()
    busy = (
        "RAM was measured while the machine was busy: models may be faster than these "
        "estimates. It will be measured again.\n"
    )
    assert capsys.readouterr().err == LINE + busy
    assert run("models").endswith(busy)
    assert run("devices").endswith(busy)
    assert json.loads(run("devices", "--json"))["measured_busy"]


def test_where_one_is_fast_enough_nobody_is_asked(
    on: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    on(SLOW)
    assert model(min_speed=0.0) == "F16"
    assert model(min_speed=0.5) == "Q4_K_M"
    on(MACHINES["RTX 3060, 12 GB + 32"])
    assert model() == "Q4_K_M"
    assert " suits this machine: " in capsys.readouterr().err


def test_one_that_is_here_and_not_much_too_slow(
    on: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    on(cpu(32, 27, 28), "Q4_K_M")
    assert model() == "relay-Q4_K_M.gguf"
    assert capsys.readouterr().err == (
        "Relay as Q4_K_M is on this disk: all in RAM, about 3.0 tokens a second.\n"
    )
    on(SLOW, "Q4_K_M", terminal=False)
    assert model() == "relay-Q4_K_M.gguf", "half as fast as the best at least"
    assert "Q4_K_M is taken: " in capsys.readouterr().err
    on(SLOW, "F16", terminal=False)
    assert model() == "Q2_K"


def test_no_star_where_none_suits(on: Says) -> None:
    on(SLOW)
    assert run("models") == MODELS
    found = json.loads(run("models", "--json"))
    assert [file["type"] for file in found if file["chosen"]] == []
    assert [file["type"] for file in found if file["fastest"]] == ["Q2_K"]
    assert "* Q4_K_M" in run("models", "--min-speed", "0.5")


MODELS = """\
  type         size     needs      speed  on this machine
  F16      24.50 GB  25.42 GB    0.2 t/s  all in RAM
  Q8_0     13.00 GB  13.94 GB    0.3 t/s  all in RAM
  Q4_K_M    7.48 GB   8.39 GB    0.5 t/s  all in RAM
  Q2_K      4.79 GB   5.71 GB    0.8 t/s  all in RAM
None reaches 5 tokens a second (--min-speed). The fastest is Q2_K: 16 s for a reply of ten words.
From danlou/relay-v0.1-Mistral-Nemo-2407-GGUF (CC-BY-NC 4.0).
"""


def test_the_api_warns_of_a_slow_file(on: Says) -> None:
    on(SLOW)
    with pytest.warns(
        RuntimeWarning, match=r"Q2_K is taken: all in RAM, about 0\.8 tokens"
    ) as seen:
        assert suggest_relay_model() == {"model_name_or_path": f"{REPO}:Q2_K"}
    assert seen[0].filename == __file__
    assert suggest_relay_model(min_speed=0.5) == {"model_name_or_path": f"{REPO}:Q4_K_M"}


def test_download_asks_too(on: Says, typed: Says, capsys: pytest.CaptureFixture[str]) -> None:
    on(SLOW)
    typed("q8_0\n")
    assert command.chosen(None) == f"{REPO}:Q8_0"
    capsys.readouterr()
    assert command.chosen(None, yes=True) == f"{REPO}:Q2_K"
    assert capsys.readouterr().err == LINE
