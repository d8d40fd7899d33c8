"""The command line as a user meets it: processes, their exit codes, one line for each error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from processes import COMMAND, relay
from thorough import cases
from typer.core import TyperGroup

from relay_gguf.cli import app as cli
from relay_gguf.cli.app import bare_resume
from relay_gguf.errors import SettingsError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.folders import config_path, history_path, sessions_folder
from relay_gguf.sampling import DEFAULTS
from relay_gguf.settings import ChatSettings, chat_settings, read_config
from relay_gguf.version import __version__


def test_version_is_printed_without_loading() -> None:
    done = relay("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"relay-gguf {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["chat", "-h"]])
def test_help_is_printed(arguments: list[str]) -> None:
    done = relay(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ")


def test_the_list_of_commands_has_a_whole_sentence_for_each() -> None:
    """A long one would be cut: `Show the devices that a model can run on, with free memory...`."""
    whole = typer.main.get_command(cli.app)
    assert isinstance(whole, TyperGroup)
    assert sorted(cli.LISTED) == sorted(whole.commands)
    groups = {"": whole} | {name: c for name, c in whole.commands.items() if hasattr(c, "commands")}
    for name, group in groups.items():
        text = group.get_help(typer.Context(group, info_name=name, terminal_width=80))
        listed = text.partition("\nCommands:\n")[2].splitlines()
        assert len(listed) == len(group.commands)
        assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def test_no_argument_at_all_shows_the_help() -> None:
    done = relay()
    assert "Usage: " in done.stdout + done.stderr
    assert "This is a bug" not in done.stderr


def test_wrong_usage_exits_with_2() -> None:
    done = relay("chat", "--temperature", "warm")
    assert done.returncode == 2
    assert "--temperature" in done.stderr
    assert "Traceback" not in done.stderr


# Errors


def test_debug_shows_the_traceback() -> None:
    done = relay("chat", "nosuch.gguf", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("There is no file nosuch.gguf. Check the path.")


def test_debug_shows_no_logs_of_others() -> None:
    """They may hold what is secret."""
    code = (
        "import logging; from relay_gguf.debug import log_everything; log_everything()\n"
        "logging.getLogger('relay_gguf.llama.cpp').debug('the \\x1b[31mmodel')\n"
        "logging.getLogger('httpx').debug('token')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "relay_gguf.llama.cpp: the ^[[31mmodel\n"


def test_every_command_has_debug() -> None:
    def commands(group: Any) -> list[Any]:
        inner = getattr(group, "commands", {}).values()
        return [one for each in inner for one in commands(each)] or [group]

    found = commands(typer.main.get_command(cli.app))
    assert len(found) > 15
    lacks = [one.name for one in found if not any("--debug" in p.opts for p in one.params)]
    assert lacks == []


FULL = Path("/dev/full")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log; what becomes of it is printed at the end."""
    path = tmp_path / "#boats.log"
    path.write_text("12:00 <bob> hi\n12:01 <ann> hello\n")
    return path


@pytest.mark.skipif(not FULL.exists(), reason="it is of Linux")
@pytest.mark.parametrize(
    "arguments",
    cases([["--version"], ["presets"], ["dataset", "{log}", "--as", "ann"]], ["--version"]),
)
def test_a_full_disk_is_no_bug(arguments: list[str], log: Path) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*COMMAND, *(argument.format(log=log) for argument in arguments)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "relay-gguf: Cannot go on: No space left on device.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="its pipes end otherwise")
@pytest.mark.parametrize("arguments", [["--version"], ["dataset", "{log}", "--as", "ann"]])
def test_a_pipe_that_nobody_reads_is_quiet(arguments: list[str], log: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run(
            [*COMMAND, *(argument.format(log=log) for argument in arguments)],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "relay-gguf:" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix closes it")
def test_no_stdout_at_all() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied", "a\nb"), "a b: Permission denied."),
        (TimeoutError("timed out"), "timed out."),
        (OSError(), "OSError."),
    ],
)
def test_an_error_of_the_machine_is_no_bug(
    error: OSError, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_command", lambda first: app)
    with pytest.raises(SystemExit, match="1"):
        cli.main([])
    assert capsys.readouterr().err == f"relay-gguf: Cannot go on: {says}\n"
    with pytest.raises(type(error)):
        cli.main(["--debug"])


@pytest.mark.parametrize("first", ["", "--help", "plan", "synth"])
def test_what_is_not_asked_for_is_not_built(first: str) -> None:
    """A command alone is the one of the whole program, and the list of all is the same."""
    whole, part = typer.main.get_command(cli.app), cli._command(first)
    assert isinstance(whole, TyperGroup)
    assert isinstance(part, TyperGroup)
    if first in part.commands:
        assert list(part.commands) == [first]
        shown = [program.commands[first] for program in (whole, part)]
    else:
        shown = [whole, part]
    texts = [one.get_help(typer.Context(one, info_name="relay-gguf")) for one in shown]
    assert texts[0] == texts[1]


def test_ctrl_c_is_quiet_while_the_program_loads() -> None:
    code = """if True:
        import sys
        class Interrupted:
            def find_spec(self, name, path=None, target=None):
                if name == "typer":
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Interrupted())
        from relay_gguf.__main__ import main
        main()
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")


# Options


@pytest.mark.parametrize(
    ("given", "config", "temperature"),
    [
        ({}, {}, DEFAULTS.temperature),
        ({"temperature": None}, {}, DEFAULTS.temperature),
        ({"temperature": None}, {"temperature": 0.5}, 0.5),
        ({"temperature": 0.9}, {"temperature": 0.5}, 0.9),
        ({"temperature": 0.0}, {"temperature": 0.5}, 0.0),
        ({"temperature": 0.9}, {}, 0.9),
        ({}, {"temperature": 1}, 1.0),
    ],
)
def test_the_command_line_goes_before_the_config_file(
    given: dict[str, Any], config: dict[str, Any], temperature: float
) -> None:
    settings = chat_settings(given, config)
    assert settings.temperature == settings.sampling.temperature == temperature


def test_the_config_file_can_set_every_option(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        'model = "m.gguf"\nchannel = "sea"\ntopic = "ships"\ncast = "a sailor"\nn-ctx = 512\n'
        "threads = 1\nn-gpu-layers = 0\nkv_type = 'q8_0'\nmain-gpu = 1\ntensor-split = '3,1'\n"
        "no_gpu = false\nworker = ['attic', '10.0.0.7:50053']\nmin-speed = 3\n"
        "color = false\nexact_trim = true\ntemperature = 1\ntop-k = 5\ntop_p = 0.5\n"
        "min-p = 0.1\nrepeat_penalty = 1\nmax-tokens = 9\nseed = 7\ndry-multiplier = 1\n"
        "dry_base = 2\ndry_allowed_length = 3\ndry-last-n = 64\nxtc-probability = 0.5\n"
        "xtc_threshold = 0.2\nloop-guard = 4\n"
    )
    against_loops = (1, 2, 3, 64, 0.5, 0.2, 4)
    workers = ("attic", "10.0.0.7:50053")
    load = (512, 1, 0, "q8_0", 1, "3,1", False, [*workers], 3)
    settings = chat_settings({}, read_config(path))
    assert settings == ChatSettings(
        *("m.gguf", "sea", "ships", "a sailor", *load, False, True),
        *(1, 5, 0.5, 0.1, 1, 9, 7, *against_loops),
    )
    assert settings.load == LoadOptions(512, 0, "q8_0", 1, (3, 1), False, workers)


def test_there_need_be_no_config_file() -> None:
    assert read_config(config_path()) == {}


@pytest.mark.parametrize(
    "text", ["n_ctx = 4096.5", "seed = true", "color = 1", "topic = 7", "worker = [1]"]
)
def test_a_value_of_another_kind_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"must be (a|an|true or) "):
        read_config(path)


@pytest.mark.thorough
def test_a_config_file_in_its_place_is_read(short: Path) -> None:
    config_path().parent.mkdir(parents=True)
    config_path().write_text(f"model = {json.dumps(str(short))}\nchannel = 'sea'\n")
    assert relay("chat", "--plain").stdout.startswith("* Now talking in #sea\n")


def test_folders_are_those_of_the_platform() -> None:
    for path in (config_path(), sessions_folder(), history_path()):
        assert "relay-gguf" in path.parts
    if sys.platform == "linux":
        assert config_path().parent.parent == Path(os.environ["XDG_CONFIG_HOME"])


@pytest.mark.parametrize(
    ("arguments", "understood"),
    [
        (["chat", "--resume"], ["chat", "--resume="]),
        (["chat", "--resume", "--plain"], ["chat", "--resume=", "--plain"]),
        (["chat", "--resume", "sea"], ["chat", "--resume", "sea"]),
        (["chat", "--resume=sea"], ["chat", "--resume=sea"]),
        ([], []),
    ],
)
def test_resume_needs_no_name(arguments: list[str], understood: list[str]) -> None:
    assert bare_resume(arguments) == understood
