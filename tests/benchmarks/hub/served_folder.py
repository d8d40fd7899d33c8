"""A folder as the repository o/base of a hub on loopback, at a limited rate: a process of its own.

    python tests/benchmarks/hub/served_folder.py FOLDER [--rate BYTES-A-SECOND]

Prints its address; on SIGTERM the bytes of weights that it sent. Connections stay open, and bytes
go from the disk's cache to the socket without a copy, so that little of what is measured is this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

COMMIT = "b" * 40
STEP = 1 << 20
"""Bytes between two looks at the clock."""


class Served(BaseHTTPRequestHandler):
    """Answers of the hub, and of the host to which it redirects for weights."""

    protocol_version = "HTTP/1.1"
    folder: ClassVar[Path]
    rate: ClassVar[float]
    sent: ClassVar[int] = 0
    lock: ClassVar[threading.Lock] = threading.Lock()
    free_at: ClassVar[float] = 0.0
    """When the line is free for the next bytes."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        if "/tree/" in path:
            tree = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "0" * 40}
                for file in sorted(self.folder.iterdir())
            ]
            self.say(json.dumps(tree).encode(), {"Content-Type": "application/json"})
            return
        if path.startswith("/api/"):
            self.say(json.dumps(self.repository()).encode(), {"Content-Type": "application/json"})
            return
        file = self.folder / path.rpartition("/")[2]
        if not file.is_file():
            self.say(b"", {"X-Error-Code": "EntryNotFound"}, 404)
        elif path.startswith("/stored/"):
            self.send_part(file)
        elif is_weights(file):
            place = f"http://localhost:{self.server.server_port}/stored/{file.name}"  # type: ignore[attr-defined]
            size = {"X-Linked-Size": str(file.stat().st_size), "X-Repo-Commit": COMMIT}
            self.say(b"", {"Location": place, "X-Linked-Etag": f'"{digest(file)}"', **size}, 302)
        else:
            etag = {"ETag": f'"{digest(file)[:40]}"', "X-Repo-Commit": COMMIT}
            self.say(file.read_bytes(), etag)

    def repository(self) -> dict[str, object]:
        files = [
            {"rfilename": path.name, "size": path.stat().st_size, "blobId": digest(path)[:40]}
            | ({"lfs": lfs(path)} if is_weights(path) else {})
            for path in sorted(self.folder.iterdir())
        ]
        return {"id": "o/base", "modelId": "o/base", "sha": COMMIT, "siblings": files}

    def say(self, data: bytes, headers: Mapping[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_part(self, file: Path) -> None:
        size = file.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2])) if asked else (0, size - 1)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("ETag", f'"{digest(file)}"')
        self.end_headers()
        self.wfile.flush()
        with file.open("rb") as opened:
            at = first
            while at <= last:
                n_bytes = min(STEP, last + 1 - at)
                self.wait_for_the_line(n_bytes)
                at += os.sendfile(self.connection.fileno(), opened.fileno(), at, n_bytes)

    @classmethod
    def wait_for_the_line(cls, n_bytes: int) -> None:
        """All connections together have the rate."""
        with cls.lock:
            cls.sent += n_bytes
            now = time.monotonic()
            cls.free_at = max(cls.free_at, now) + n_bytes / cls.rate
            wait = cls.free_at - now
        if wait > 0.001:
            time.sleep(wait)

    def handle(self) -> None:
        with suppress(ConnectionError):  # who asked has enough, or was stopped
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass


def is_weights(path: Path) -> bool:
    return path.suffix == ".safetensors"


@cache
def digest(path: Path) -> str:
    """The SHA-256 of a file, which a reader compares where it reads the file in its own order."""
    running = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(STEP):
            running.update(data)
    return running.hexdigest()


def lfs(path: Path) -> dict[str, object]:
    return {"sha256": digest(path), "size": path.stat().st_size, "pointerSize": 130}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=float, default=1e9, help="bytes a second")
    arguments = parser.parse_args()
    Served.folder, Served.rate = arguments.folder, arguments.rate
    for path in arguments.folder.iterdir():
        digest(path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(f"{Served.sent}"))
    server.serve_forever()


if __name__ == "__main__":
    main()
