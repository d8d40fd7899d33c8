"""A small server on loopback that speaks the Hub's protocol for some repositories."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

COMMIT = "c" * 40
Repos = Mapping[str, Mapping[str, bytes]]
"""`owner/name` → files."""


class Handler(BaseHTTPRequestHandler):
    """Answers for `repos`; o/gated is gated, everything else is not there."""

    repos: ClassVar[Repos] = {}
    requests: ClassVar[list[str]] = []
    sent: ClassVar[list[int]] = []

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        info = re.match(r"/api/models/(\w+/\w+)(/tree/|/revision/|$)", path)
        file = re.match(r"/(\w+/\w+)/resolve/(?:main|c+)/(.+)", path)
        if info and info[1] in self.repos and info[2] == "/tree/":
            names = self.repos[info[1]]
            files = [{"type": "file", "path": p, "size": 1, "oid": "0" * 40} for p in names]
            self.send(200, json.dumps(files).encode(), {"Content-Type": "application/json"})
        elif info and info[1] in self.repos:
            siblings = [{"rfilename": name} for name in self.repos[info[1]]]
            model = {"id": info[1], "modelId": info[1], "sha": COMMIT, "siblings": siblings}
            self.send(200, json.dumps(model).encode(), {"Content-Type": "application/json"})
        elif file and file[1] in self.repos and file[2] in self.repos[file[1]]:
            self.send_file(self.repos[file[1]][file[2]])
        elif "/o/gated" in path:
            self.send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif file and file[1] in self.repos:
            self.send(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def send_file(self, content: bytes) -> None:
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            self.send(200, content, headers)
            return
        part = content[int(asked[1]) : int(asked[2]) + 1]
        self.send(206, part, headers | {"Content-Range": f"bytes {asked[1]}-*/{len(content)}"})

    def send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.sent.append(len(data))
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(repos: Repos, monkeypatch: pytest.MonkeyPatch, home: str) -> Iterator[type[Handler]]:
    """Serve repositories to processes that are started within; their cache is in `home`."""
    Handler.repos = repos
    Handler.requests.clear()
    Handler.sent.clear()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{httpd.server_port}")
    monkeypatch.setenv("HF_HOME", home)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    try:
        yield Handler
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
