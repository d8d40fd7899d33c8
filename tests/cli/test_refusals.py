"""What the command line refuses: one line that says what to do, and an exit code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pico import write_pico
from processes import refused, relay
from thorough import cases


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


PLAIN = [BAD_FILES[name] for name in ("a text", "an unknown architecture")]


@pytest.mark.parametrize(("make", "says"), cases(BAD_FILES.values(), *PLAIN), ids=BAD_FILES.keys())
def test_a_file_that_is_no_model(
    make: Callable[[Path, Path], object], says: str, smollm2: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    make(path, smollm2)
    assert str(path) in (said := refused(path))
    assert said.startswith(says.format(path))


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of Unix")
@pytest.mark.parametrize("command", cases([["chat"], ["plan"], ["inspect"]], ["chat"]))
def test_a_pipe_is_not_waited_for(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    os.mkfifo(path)
    done = relay(*command, path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"relay-gguf: {path} is a pipe or a device")


@pytest.mark.thorough
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
        ("topic = " + "[" * 5000, " is not a TOML file: it is nested too deeply."),
    ],
)
def test_a_config_file_that_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text(text)
    said = refused("--demo", "--config", config)
    assert said.startswith(str(config))
    assert says in said


@pytest.mark.thorough
def test_a_config_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    assert str(tmp_path / "none.toml") in refused("nosuch.gguf", "--config", tmp_path / "none.toml")


@pytest.mark.thorough
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
        pytest.param(
            ["--resume", "nosuch"], "There is no session 'nosuch'", marks=pytest.mark.thorough
        ),
        pytest.param(["--resume"], "No session is saved yet", marks=pytest.mark.thorough),
        (["--resume", "../etc/passwd"], "'../etc/passwd' is not a session name"),
    ],
)
def test_a_session_that_is_not_there(arguments: list[str], says: str) -> None:
    assert refused(*arguments).startswith(says)
