"""A small server on loopback that speaks the Hub's protocol for some repositories.

Large files lie beside git, as on the Hub: they have a SHA-256, and come from another host, to which
a file's address redirects. That host honours ranges; it can be slow, break off, or lie.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest

COMMIT = "c" * 40
TOKEN = "hf_of_somebody"
Repos = Mapping[str, Mapping[str, bytes]]
"""`owner/name` → files."""


@dataclass
class Mood:
    """How the server behaves."""

    ranges: bool = True
    """Whether it begins where it is asked to."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes it breaks off the next answers."""
    statuses: list[int] = field(default_factory=list)
    """What it answers next instead of a file."""
    lies: dict[str, bytes] = field(default_factory=dict)
    """SHA-256 → what it sends instead of that content."""
    delay: float = 0.0
    """Seconds between two pieces of 16 KiB."""
    latency: float = 0.0
    """Seconds before the answer of a file's own host."""
    retry_after: str = ""
    """What it asks for beside a status."""
    etags: list[str] = field(default_factory=list)
    """The ETags of the next answers; the last one stays."""
    linked: str = '"{}"'
    """How a redirect writes the checksum that it leads to."""
    good_for: int = 0
    """How many answers a redirect is good for; 0 for ever."""
    down: bool = False
    """Whether it closes connections without an answer."""
    card: dict[str, Any] = field(default_factory=dict)
    """What the repositories' cards say."""


class Handler(BaseHTTPRequestHandler):
    """Answers for `repos`; o/gated shows no file, o/private wants a token, o/broken is broken."""

    repos: ClassVar[Repos] = {}
    requests: ClassVar[list[str]] = []
    asked: ClassVar[list[str]] = []
    """Ranges of large files."""
    sent: ClassVar[list[int]] = []
    given: ClassVar[list[tuple[str, int, int]]] = []
    """SHA-256, first byte and number of bytes of what was sent of large files."""
    leaked: ClassVar[list[str]] = []
    """Tokens that came to the wrong host."""
    mood: ClassVar[Mood] = Mood()
    tickets: ClassVar[dict[str, int]] = {}
    """Redirect → the answers that it was used for."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        if self.mood.down:
            return
        self.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        path = path.removeprefix("/datasets").replace("/api/datasets/", "/api/models/")
        repo = re.match(r"(?:/api/models)?/([\w.-]+/[\w.-]+)(?:/|$)", path)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if path.startswith("/stored/"):
            self.send_stored(path.rpartition("/")[2], token)
        elif repo and repo[1] == "o/broken":
            self.send(500, b"{}", {})
        elif repo and repo[1] == "o/gated" and not (repo[1] in self.repos and "/api/" in path):
            self.send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif token and token != TOKEN:
            reason = {"X-Error-Message": "Invalid credentials in Authorization header"}
            self.send(401, b"{}", reason)
        elif repo and repo[1] == "o/private" and not token:
            self.send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif repo and repo[1] in self.repos:
            self.answer_for(repo[1], self.repos[repo[1]], path)
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def answer_for(self, repo: str, files: Mapping[str, bytes], path: str) -> None:
        file = re.match(r"/[^/]+/[^/]+/resolve/(?:main|c+|v\d+)/(.+)", path)
        name = unquote(file[1]) if file else ""
        if name in files and name != "lost.gguf":
            self.send_file(name, files[name])
        elif file:
            self.send(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        elif "/tree/" in path:
            tree = [{"type": "file", "path": p, "size": 1, "oid": "0" * 40} for p in files]
            self.send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
        else:
            siblings = [_entry(name, content) for name, content in files.items()]
            model = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}
            data = json.dumps(model | {"cardData": self.mood.card}).encode()
            self.send(200, data, {"Content-Type": "application/json"})

    def send_file(self, name: str, content: bytes) -> None:
        if is_large(name):
            digest = _sha256(content)
            port = self.headers["Host"].partition(":")[2]
            headers = {
                "X-Linked-Etag": self.mood.linked.format(digest),
                "X-Linked-Size": str(len(content)),
                "X-Repo-Commit": COMMIT,
                "Location": f"http://localhost:{port}/stored/{digest}?ticket={len(self.requests)}",
            }
            self.send(302, b"", headers)
            return
        headers = {"ETag": f'"{_git_sha1(content)}"', "X-Repo-Commit": COMMIT}
        self.send_part(content, headers)

    def send_stored(self, digest: str, token: str) -> None:
        """The other host's answer."""
        if token:
            self.leaked.append(token)
        known = contents(self.repos)
        self.asked.append(self.headers.get("Range", "").removeprefix("bytes="))
        time.sleep(self.mood.latency)
        ticket = self.path.rpartition("=")[2]
        self.tickets[ticket] = self.tickets.get(ticket, 0) + 1
        if 0 < self.mood.good_for < self.tickets[ticket]:
            self.send(403, b"", {})
            return
        if self.mood.statuses:
            asked = {"Retry-After": self.mood.retry_after} if self.mood.retry_after else {}
            self.send(self.mood.statuses.pop(0), b"", asked)
            return
        etags = self.mood.etags or ['"other"']
        etag = etags.pop(0) if len(etags) > 1 else etags[0]
        self.send_part(self.mood.lies.get(digest, known[digest]), {"ETag": etag})

    def send_part(self, content: bytes, headers: Mapping[str, str]) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None or not self.mood.ranges:
            self.send(200, content, headers)
            return
        part = content[int(asked[1]) : int(asked[2]) + 1]
        self.send(206, part, {**headers, "Content-Range": f"bytes {asked[1]}-*/{len(content)}"})

    def send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if data and self.mood.cuts and self.path.startswith("/stored/"):
            data = data[: self.mood.cuts.pop(0)]
        self.sent.append(len(data))
        if self.path.startswith("/stored/"):
            first = int(headers.get("Content-Range", "bytes 0-").split()[1].partition("-")[0])
            digest = self.path.partition("?")[0].rpartition("/")[2]
            self.given.append((digest, first, len(data)))
        for at in range(0, len(data), 1 << 14):
            if self.mood.delay and at:
                time.sleep(self.mood.delay)
            try:
                self.wfile.write(data[at : at + (1 << 14)])
            except ConnectionError:  # who asked has enough, or was killed
                return

    def log_message(self, format: str, *args: object) -> None:
        pass


def is_large(name: str) -> bool:
    """Whether a file lies beside git."""
    return name.endswith((".gguf", ".safetensors")) and not name.startswith("small")


def contents(repos: Repos) -> dict[str, bytes]:
    """SHA-256 → file, of all repositories."""
    return {_sha256(content): content for files in repos.values() for content in files.values()}


@cache
def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    """What the Hub says of a file."""
    entry = {"rfilename": name, "size": len(content), "blobId": _git_sha1(content)}
    if not is_large(name):
        return entry
    digest = _sha256(content)
    lfs = {"sha256": digest, "size": len(content), "pointerSize": 99}
    return entry | {"blobId": "d" * 40, "lfs": lfs}


@contextmanager
def serving(repos: Repos, monkeypatch: pytest.MonkeyPatch, home: str) -> Iterator[type[Handler]]:
    """Serve repositories to this process and those that are started within; the cache is in `home`.

    The hub's library reads its settings once, so that a process which has it already is told.
    """
    from huggingface_hub import close_session, constants

    Handler.repos = repos
    Handler.mood = Mood()
    Handler.tickets.clear()
    for seen in (Handler.requests, Handler.asked, Handler.sent, Handler.given, Handler.leaked):
        seen.clear()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    address = f"http://127.0.0.1:{httpd.server_port}"
    for name, value in {"HF_ENDPOINT": address, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", f"{home}/hub")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", f"{home}/token")
    try:
        yield Handler
    finally:
        close_session()
        httpd.shutdown()
        thread.join()
        httpd.server_close()
