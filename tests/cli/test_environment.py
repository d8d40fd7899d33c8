"""Plain environments: no home, no streams, another code page, variables that are wrong."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pico import write_pico
from thorough import cases

from relay_gguf.cli.app import main
from relay_gguf.errors import SettingsError
from relay_gguf.folders import UserFolders, cache_file
from relay_gguf.hub.environment import check_environment
from relay_gguf.settings import read_config, usual_settings

COMMAND = [sys.executable, "-m", "relay_gguf"]
HOMELESS = """
import os, pwd, sys
def unknown(number): raise KeyError(number)
pwd.getpwuid = unknown
from relay_gguf.cli.app import main
main(sys.argv[1:])
"""
"""The program as a user of whom the system knows nothing but a number."""


def _no_homes() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "HF_HOME")) and name not in ("HOME", "USERPROFILE")
    }


def test_a_home_that_is_a_file_has_no_settings(tmp_path: Path) -> None:
    """HOME is /dev/null for many services."""
    (tmp_path / "file").touch()
    assert read_config(tmp_path / "file" / "relay-gguf" / "config.toml") == {}


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="users of Unix")
def test_a_user_without_a_home_can_chat(smollm2: Path, tmp_path: Path) -> None:
    path = write_pico(tmp_path / "p.gguf", smollm2)
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS, "chat", path, "--threads", "1", "--max-tokens", "1"],
        input="hi\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=_no_homes(),
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == (
        "* This chat is not saved. This user has no home folder, and so no data folder. Set HOME, "
        "or XDG_DATA_HOME, to a folder."
    )
    assert "<anon> hi" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["p.gguf"], "no folder called ~"


@pytest.mark.skipif(sys.platform == "win32", reason="users of Unix")
def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    for name in set(os.environ) - set(_no_homes()):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    for kind in ("config", "data", "state", "cache"):
        with pytest.raises(SettingsError, match=f"Set HOME, or XDG_{kind.upper()}_HOME"):
            getattr(UserFolders(), f"user_{kind}_path")
    assert cache_file("x") is None
    assert usual_settings({}).channel == "random", "there is no config file"
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/relay")
    assert UserFolders().user_data_path == Path("/srv/relay/relay-gguf")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix closes them")
@pytest.mark.parametrize("closed", cases(["<&-", ">&-", "<&- >&-", "2>&-"], "<&- >&-"))
def test_a_chat_without_streams(closed: str, smollm2: Path, tmp_path: Path) -> None:
    path = write_pico(tmp_path / "p.gguf", smollm2)
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "chat", path, "--threads", "1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "") == (">&-" in closed.split())


def test_names_outside_the_code_page_are_printed(smollm2: Path, tmp_path: Path) -> None:
    write_pico(tmp_path / "模型.gguf", smollm2)
    done = subprocess.run(
        [*COMMAND, "inspect", "模型.gguf"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "1"},
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"??.gguf")


def test_a_pipe_gets_utf_8_whatever_the_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "cp1252"))
    with pytest.raises(SystemExit):
        main(["--version"])
    assert sys.stdout.encoding == "utf-8"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_HUB_DOWNLOAD_TIMEOUT", "10s"),
        ("HF_HUB_ETAG_TIMEOUT", ""),
        ("HF_HUB_ETAG_TIMEOUT", "-5"),
        ("HF_ENDPOINT", "http://127.0.0.1:port"),
        ("HF_ENDPOINT", "huggingface.co"),
        ("SSL_CERT_FILE", "/nosuch/certificates.pem"),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name} is .*{value}"):
        check_environment()


def test_a_number_that_is_wrong_is_told_by_the_command_line() -> None:
    env = {**os.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "10s"}
    done = subprocess.run(
        [*COMMAND, "download", "o/n"], capture_output=True, text=True, check=False, env=env
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "relay-gguf: HF_HUB_DOWNLOAD_TIMEOUT is '10s' in the environment; it must be a whole "
        "number of seconds.\n"
    )
