"""Encrypted connections."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from programs import needs

from relay_gguf.errors import SettingsError
from relay_gguf.irc.server import Server
from relay_gguf.irc.tls import tls_context


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost, signed by itself, in a file with its key."""
    needs("openssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/CN=localhost"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert


def test_a_client_talks_tls(certificate: Path) -> None:
    async def run() -> bytes:
        server = Server()
        await server.start(port=0, tls=tls_context(certificate, certificate.with_name("key.pem")))
        trust = ssl.create_default_context(cafile=str(certificate))
        reader, writer = await asyncio.open_connection(
            *server.address, ssl=trust, server_hostname="localhost"
        )
        writer.write(b"NICK anon\r\nUSER anon 0 * :Anon\r\n")
        line = await reader.readline()
        await server.stop()
        writer.close()
        return line

    assert asyncio.run(run()).startswith(b":relay.localhost 001 anon :Welcome")


def test_a_certificate_and_its_key_may_be_one_file(certificate: Path) -> None:
    both = certificate.with_name("both.pem")
    both.write_bytes(certificate.read_bytes() + certificate.with_name("key.pem").read_bytes())
    assert tls_context(both, None) is not None
    assert tls_context(None, None) is None


def test_files_that_are_no_certificate_are_errors(certificate: Path, tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.touch()
    for cert, key, problem in [
        (missing, None, "Cannot read .*missing.pem: No such file"),
        (certificate, missing, "Cannot read .*missing.pem: No such file"),
        (certificate, None, "are not a certificate and its key in PEM format"),
        (empty, empty, "are not a certificate and its key in PEM format"),
        (None, empty, "--tls-key needs its certificate"),
    ]:
        with pytest.raises(SettingsError, match=problem):
            tls_context(cert, key)
