"""Chats in a pipe, as processes."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import PATIENCE, Chat, refused, relay

from relay_gguf.folders import sessions_folder


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_the_scene_is_set_by_options(short: Path) -> None:
    done = relay("chat", short, "--channel", "#sea", "--topic", "ships", "--cast", "a sailor")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "* Now talking in #sea\n"
        "* anon has joined #sea\n"
        "* Topic for #sea is: ships\n"
        "* user's bio: a sailor\n"
    )


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_ctrl_c_while_nothing_is_written_leaves(short: Path) -> None:
    with Chat(short) as chat:
        chat.next(content="* anon has joined #random")
        chat.interrupt()
        assert chat.end() == (130, "")


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_a_reader_that_goes_away(short: Path) -> None:
    with Chat(short, "--max-tokens", "1") as chat:
        chat.next(content="* anon has joined #random")
        assert chat.process.stdout is not None
        chat.process.stdout.close()
        chat.type("hello")
        assert chat.process.wait(PATIENCE) == 1
        assert chat.process.stderr is not None
        assert chat.process.stderr.read() == ""
