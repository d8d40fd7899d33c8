"""Downloads by several processes: killed and resumed, or two at once."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from threading import Thread

import pytest
from downloads import COMMAND, CONTENT, DIGEST, NAME, Notes, run, until
from hub_server import COMMIT, Handler
from thorough import cases

from relay_gguf.hub import cache as hub_cache
from relay_gguf.models.locate import find, locate


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX")
@pytest.mark.parametrize(
    "number", cases([signal.Signals["SIGINT"], signal.Signals["SIGTERM"], 9], 9)
)
def test_killed_and_resumed_by_another_process(
    server: type[Handler], folder: Path, number: int
) -> None:
    cache = hub_cache.repo_cache("o/r")
    server.mood.delay = 0.05
    with subprocess.Popen([*COMMAND, "o/r"], stderr=subprocess.DEVNULL) as process:
        until(lambda: cache.partial_size(DIGEST) > 50_000)
        process.send_signal(number)
    assert process.returncode != 0
    there = cache.partial_size(DIGEST)
    assert 50_000 < there < len(CONTENT)
    assert find("o/r") is None
    server.mood.delay = 0.0
    server.asked.clear()
    done = run("o/r")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / 'snapshots' / COMMIT / NAME}\n"
    assert Path(done.stdout.strip()).read_bytes() == CONTENT
    assert server.asked == [f"{there}-{len(CONTENT) - 1}"]
    assert done.stderr.splitlines() == [
        f"Downloading {NAME} (400 KB, {there // 1000 + 1} KB of it are here) from o/r ...",
        "Checked: 400 KB with the right checksum.",
    ]


@pytest.mark.thorough
def test_two_processes_at_once(server: type[Handler], folder: Path) -> None:
    server.mood.delay = 0.03
    notes, paths = Notes(), list[Path]()
    with subprocess.Popen([*COMMAND, "o/r"], stdout=subprocess.PIPE, text=True) as process:
        until(lambda: hub_cache.repo_cache("o/r").partial_size(DIGEST) > 0)
        second = Thread(target=lambda: paths.append(locate("o/r", notes)))
        second.start()
        printed, _ = process.communicate()
        second.join()
    assert process.returncode == 0
    assert [str(path) for path in paths] == printed.splitlines()
    assert paths[0].read_bytes() == CONTENT
    assert notes.waited > 0
    assert len(server.asked) == 1, "one of them downloaded it"


def test_the_first_of_two_processes_dies(server: type[Handler], folder: Path) -> None:
    server.mood.delay = 0.03
    notes, paths = Notes(), list[Path]()
    with subprocess.Popen([*COMMAND, "o/r"], stderr=subprocess.DEVNULL) as process:
        until(lambda: hub_cache.repo_cache("o/r").partial_size(DIGEST) > 0)
        second = Thread(target=lambda: paths.append(locate("o/r", notes)))
        second.start()
        until(lambda: notes.waited > 0)
        process.kill()
    server.mood.delay = 0.0
    second.join()
    assert paths[0].read_bytes() == CONTENT
    assert len(server.asked) == 2
    assert not server.asked[1].startswith("0-"), "it went on where the first one was"
