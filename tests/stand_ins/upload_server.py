"""A small server on loopback that takes files as the Hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

OID = "d" * 40


@dataclass
class Repo:
    """A repository: small files lie in git, GGUF files beside it."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Takes files for every owner but `closed`; refuses a README.md of the license `nope`."""

    repos: ClassVar[dict[str, Repo]] = {}
    stored: ClassVar[dict[str, bytes]] = {}
    puts: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        name = self._match(r"/api/models/(\w+/\w+)")
        if name not in self.repos:
            self.send({}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        repo = self.repos[name]
        siblings = [_entry(file, data) for file, data in repo.files.items()]
        info = {"id": name, "modelId": name, "sha": OID, "private": repo.private}
        self.send({**info, "siblings": siblings})

    def do_PUT(self) -> None:
        oid = self.path.rpartition("/")[2]
        self.puts.append(oid)
        self.stored[oid] = self.body()
        self.send({})

    def do_POST(self) -> None:
        body = self.body()
        if self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            bad = b"license: nope" in body
            self.send({"errors": [{"message": "no such license"}] if bad else [], "warnings": []},
                      400 if bad else 200)  # fmt: skip
        elif self._match(r"/api/models/(\w+/\w+)/preupload/main"):
            files = [
                {"path": f["path"], "uploadMode": _mode(f["path"]), "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            self.send({"files": files})
        elif self._match(r"/(\w+/\w+)\.git/info/lfs/objects/batch"):
            self.send({"transfer": "basic", "objects": list(map(self._object, _objects(body)))})
        elif name := self._match(r"/api/models/(\w+/\w+)/commit/main"):
            self.commit(self.repos[name], [json.loads(line) for line in body.splitlines()])
            self.send({"success": True, "commitUrl": self._url(f"{name}/commit/{OID}"),
                       "commitOid": OID})  # fmt: skip

    def create(self, asked: Mapping[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "closed":
            self.send({"error": "not yours"}, 403)
            return
        there = name in self.repos
        self.repos.setdefault(name, Repo(asked.get("visibility") == "private"))
        self.send({"url": self._url(name)}, 409 if there else 200)

    def commit(self, repo: Repo, lines: list[Mapping[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repo.messages.append(value["summary"])
            elif line["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            else:
                repo.files[value["path"]] = self.stored[value["oid"]]

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send(
        self, answer: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _match(self, pattern: str) -> str:
        match = re.match(pattern, self.path)
        return match[1] if match else ""

    def _url(self, path: str) -> str:
        return f"http://{self.headers['Host']}/{path}"

    def _object(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        actions = {"actions": {"upload": {"href": self._url(f"put/{wanted['oid']}")}}}
        return {**wanted, **({} if wanted["oid"] in self.stored else actions)}


def _mode(name: str) -> str:
    return "lfs" if name.endswith(".gguf") else "regular"


def _objects(body: bytes) -> list[dict[str, Any]]:
    return [{"oid": o["oid"], "size": o["size"]} for o in json.loads(body)["objects"]]


def _entry(name: str, data: bytes) -> dict[str, Any]:
    """What the Hub says of a file."""
    entry = {"rfilename": name, "size": len(data)}
    if _mode(name) == "regular":
        blob = b"blob %d\0" % len(data) + data
        return entry | {"blobId": hashlib.sha1(blob, usedforsecurity=False).hexdigest()}
    lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 99}
    return entry | {"blobId": OID, "lfs": lfs}


@contextmanager
def taking(monkeypatch: pytest.MonkeyPatch, home: str) -> Iterator[type[Handler]]:
    """Take files from processes that are started within."""
    Handler.repos.clear()
    Handler.stored.clear()
    Handler.puts.clear()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{httpd.server_port}")
    monkeypatch.setenv("HF_HOME", home)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    try:
        yield Handler
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
