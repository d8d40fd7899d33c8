"""A server takes no more clients than it has files for."""

from __future__ import annotations

import asyncio
import errno
import logging
import subprocess
import sys

import pytest

from relay_gguf.irc.lifetime import _Complaints

resource = pytest.importorskip("resource")


@pytest.mark.parametrize(
    ("soft", "hard", "clients"), [(256, 256, 128), (256, 20000, 300), (64, 64, 16)]
)
def test_how_many_clients_find_a_file(soft: int, hard: int, clients: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("this machine allows fewer files")
    code = (
        "import resource; from relay_gguf.irc.file_limit import client_room; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); print(client_room(300))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(clients)]


def test_a_lack_of_files_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    loop, complaints = asyncio.new_event_loop(), _Complaints()
    for _ in range(1000):
        error = OSError(errno.EMFILE, "Too many open files")
        complaints.take(loop, {"message": "socket.accept() failed", "exception": error})
    loop.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Too many open files" in caplog.text
