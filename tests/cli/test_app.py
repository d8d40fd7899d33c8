"""The command line as a user meets it: processes, their exit codes, one line for each error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import typer
from pico import write_pico

from relay_gguf.cli import app as cli
from relay_gguf.cli.app import bare_resume
from relay_gguf.errors import SettingsError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.folders import config_path, history_path, sessions_folder
from relay_gguf.sampling import DEFAULTS
from relay_gguf.settings import ChatSettings, chat_settings, read_config
from relay_gguf.version import __version__

COMMAND = [sys.executable, "-m", "relay_gguf"]
PATIENCE = 60.0
"""Seconds after which a process hangs."""


def relay(*arguments: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=typed,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


class Chat:
    """A chat of objects that goes on while the test looks."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "chat", "--json", "--threads", "1", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._watchdog = Timer(PATIENCE, self.process.kill)

    def __enter__(self) -> Chat:
        self._watchdog.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.communicate()

    def type(self, line: str) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def next(self, **wanted: Any) -> dict[str, Any]:
        """The next object that has these fields; those before it are skipped."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            fields: dict[str, Any] = json.loads(line)
            if wanted.items() <= fields.items():
                return fields
        raise AssertionError(f"{wanted} did not come: {self.process.communicate()[1]}")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Close its input; its exit code and what it wrote to stderr."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def short(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that was trained on 512 tokens."""
    return write_pico(tmp_path_factory.mktemp("short") / "short.gguf", smollm2, n_ctx_train=512)


def test_version_is_printed_without_loading() -> None:
    done = relay("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"relay-gguf {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["chat", "-h"]])
def test_help_is_printed(arguments: list[str]) -> None:
    done = relay(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ")


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


def refused(*arguments: str | Path) -> str:
    """What a chat that cannot begin says."""
    done = relay("chat", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("relay-gguf: ")
    assert "This is a bug" not in line
    return line.removeprefix("relay-gguf: ")


def _truncated(path: Path, smollm2: Path) -> None:
    with smollm2.open("rb") as file:
        path.write_bytes(file.read(3 << 20))


BAD_FILES: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "nothing": (lambda path, smollm2: None, "There is no file {}."),
    "a folder": (lambda path, smollm2: path.mkdir(), "{} is a folder."),
    "an empty file": (lambda path, smollm2: path.touch(), "{} is not a GGUF file"),
    "a text": (lambda path, smollm2: path.write_text("Dear diary"), "{} is not a GGUF file"),
    "a beginning": (_truncated, "{} is truncated: it has 3,145,728 bytes of "),
    "an unknown architecture": (
        lambda path, smollm2: write_pico(path, smollm2, arch="nonsense"),
        "{} is of the architecture 'nonsense'",
    ),
    "no ChatML": (
        lambda path, smollm2: write_pico(path, smollm2, without=("<|im_start|>", "<|im_end|>")),
        "{} has no <|im_start|> and no <|im_end|> in its vocabulary.",
    ),
}


@pytest.mark.parametrize(("make", "says"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_is_no_model(
    make: Callable[[Path, Path], object], says: str, smollm2: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    make(path, smollm2)
    assert str(path) in (said := refused(path))
    assert said.startswith(says.format(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of Unix")
@pytest.mark.parametrize("command", [["chat"], ["plan"], ["inspect"]])
def test_a_pipe_is_not_waited_for(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    os.mkfifo(path)
    done = relay(*command, path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"relay-gguf: {path} is a pipe or a device")


def test_a_context_larger_than_the_model_was_trained_on(short: Path) -> None:
    assert refused(short, "--n-ctx", "4096") == (
        f"{short} takes at most 512 tokens, --n-ctx asks for 4096. Take --n-ctx 512 or less."
    )


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--temperature", "-1", "temperature is -1.0; it must be 0 to 100."),
        ("--n-ctx", "7", "n_ctx is 7; it must be 256 or more."),
    ],
)
def test_a_value_outside_its_range(option: str, value: str, says: str) -> None:
    assert refused("--demo", option, value) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = true", "unknown key 'colour'. Known keys: model, channel,"),
        ('temperature = "hot"', "temperature = 'hot' must be a number"),
        ("temperature = ", " is not a TOML file: "),
    ],
)
def test_a_config_file_that_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text(text)
    said = refused("--demo", "--config", config)
    assert said.startswith(str(config))
    assert says in said


def test_a_config_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    assert str(tmp_path / "none.toml") in refused("nosuch.gguf", "--config", tmp_path / "none.toml")


def test_no_model_and_no_network() -> None:
    """The best file for this machine is to be downloaded, if any fits; the hub is not there."""
    done = relay("chat")
    assert (done.returncode, done.stdout) == (1, "")
    *before, last = done.stderr.splitlines()
    if before:
        assert before[0].startswith(("Relay as ", "No file of Relay's reaches "))
        assert "Cannot reach the hub for danlou/relay-v0.1-Mistral-Nemo-2407-GGUF" in last
    assert "`relay-gguf chat --demo`" in last


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--resume", "nosuch"], "There is no session 'nosuch'"),
        (["--resume"], "No session is saved yet"),
        (["--resume", "../etc/passwd"], "'../etc/passwd' is not a session name"),
    ],
)
def test_a_session_that_is_not_there(arguments: list[str], says: str) -> None:
    assert refused(*arguments).startswith(says)


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
    "arguments", [["--version"], ["presets"], ["dataset", "{log}", "--as", "ann"]]
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

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit, match="1"):
        cli.main([])
    assert capsys.readouterr().err == f"relay-gguf: Cannot go on: {says}\n"
    with pytest.raises(type(error)):
        cli.main(["--debug"])


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


# Chats


def test_a_chat_in_a_pipe_is_the_same_twice(demo: Path) -> None:
    typed = "hello\n/cast I am a sailor\nwhat do you do?\n/slap\n"

    def chat(number: int) -> subprocess.CompletedProcess[str]:
        return relay("chat", "--demo", "--json", "--seed", "1", "--threads", "1", typed=typed)

    with ThreadPoolExecutor() as pool:
        once, again = pool.map(chat, range(2))
    assert (once.returncode, once.stderr) == (0, "")
    objects = [json.loads(line) for line in once.stdout.splitlines()]
    assert [o["nick"] for o in objects if o.get("generated")] == ["user", "user", "user"]
    assert once.stdout == again.stdout


def test_show_prompt_writes_prompts_to_stderr(short: Path) -> None:
    options = ["--show-prompt", "--threads", "1", "--max-tokens", "1"]
    done = relay("chat", short, *options, typed="hello\n")
    assert done.returncode == 0
    assert done.stderr == (
        "<|im_start|>user\n/join #random<|im_end|>\n"
        "<|im_start|>system\n* Now talking in #random<|im_end|>\n"
        "<|im_start|>system\n* anon has joined #random<|im_end|>\n"
        "<|im_start|>anon\nhello<|im_end|>\n"
        "<|im_start|>user\n\n"
    )


def test_the_scene_is_set_by_options(short: Path) -> None:
    done = relay("chat", short, "--channel", "#sea", "--topic", "ships", "--cast", "a sailor")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "* Now talking in #sea\n"
        "* anon has joined #sea\n"
        "<anon> /topic ships\n"
        "* Topic for #sea is: ships\n"
        "<anon> /whois user\n"
        "* user's bio: a sailor\n"
    )


def test_a_chat_without_a_word_leaves_no_file(short: Path) -> None:
    assert relay("chat", short).returncode == 0
    folder = sessions_folder()
    assert not (folder.exists() and list(folder.iterdir()))


def test_ctrl_c_cuts_the_reply_and_the_chat_goes_on(short: Path) -> None:
    with Chat(short, "--seed", "1", "--max-tokens", "250") as chat:
        chat.type("hello")
        chat.next(event="prompt")  # it is read: at least one token follows
        chat.interrupt()
        first = chat.next(generated=True)
        assert first["cut"] is True
        assert 0 < first["tokens"] < 250
        chat.type("are you there?")
        assert chat.next(event="message")["content"] == "are you there?"
        assert chat.next(generated=True)["tokens"] == 250
        assert chat.end() == (0, "")


def test_ctrl_c_while_nothing_is_written_leaves(short: Path) -> None:
    with Chat(short) as chat:
        chat.next(content="* anon has joined #random")
        chat.interrupt()
        assert chat.end() == (130, "")


def test_a_session_is_one_process_s(short: Path) -> None:
    with Chat(short, "--max-tokens", "1") as chat:
        chat.type("hello")
        chat.type("/save sea")
        assert chat.next(event="notice")["text"] == "* Saved as sea: --resume 'sea'"
        assert "is open in another" in refused("--resume", "sea")
        assert chat.end() == (0, "")
    done = relay("chat", "--resume", "sea")
    assert done.returncode == 0
    assert "<anon> hello\n" in done.stdout
    assert done.stdout.endswith("* This is the session sea.\n")


def test_a_reader_that_goes_away(short: Path) -> None:
    with Chat(short, "--max-tokens", "1") as chat:
        chat.next(content="* anon has joined #random")
        assert chat.process.stdout is not None
        chat.process.stdout.close()
        chat.type("hello")
        assert chat.process.wait(PATIENCE) == 1
        assert chat.process.stderr is not None
        assert chat.process.stderr.read() == ""


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
        "min-p = 0.1\nrepeat_penalty = 1\nmax-tokens = 9\nseed = 7\n"
    )
    workers = ("attic", "10.0.0.7:50053")
    load = (512, 1, 0, "q8_0", 1, "3,1", False, [*workers], 3)
    settings = chat_settings({}, read_config(path))
    assert settings == ChatSettings(
        "m.gguf", "sea", "ships", "a sailor", *load, False, True, 1, 5, 0.5, 0.1, 1, 9, 7
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
