"""`relay-gguf serve` before it listens: what it refuses."""

from __future__ import annotations

import socket
from importlib.machinery import ModuleSpec

import pytest

from relay_gguf.cli.serving import serve as command
from relay_gguf.errors import SettingsError
from relay_gguf.serve.listening import bound


def test_without_its_packages_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> ModuleSpec | None:
        return None if name == "uvicorn" else ModuleSpec(name, None)

    monkeypatch.setattr(command, "find_spec", found)
    with pytest.raises(SettingsError, match=r"needs uvicorn: pip install 'relay-gguf\[serve\]'"):
        command.serve(None)  # type: ignore[arg-type]


def test_a_port_that_is_taken() -> None:
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SettingsError, match=f"Cannot listen on 127.0.0.1, port {port}"):
            bound("127.0.0.1", port)
    assert isinstance(listener, socket.socket)
