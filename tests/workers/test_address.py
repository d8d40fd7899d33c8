"""Addresses of workers: which are read, who can reach them, which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from complaints import complaint

from relay_gguf.errors import SettingsError
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.settings import chat_settings, read_config
from relay_gguf.workers.address import Address, parse_address, parse_addresses, reach


def test_an_address_is_a_host_and_a_port() -> None:
    assert parse_address("10.0.0.7") == Address("10.0.0.7", 50052)
    assert str(parse_address(" attic.local:7 ")) == "attic.local:7"
    assert parse_addresses(["a", "b:1", "a:50052"]) == (Address("a"), Address("b", 1))
    with pytest.raises(SettingsError, match="takes at most 15"):
        parse_addresses([f"a{n}" for n in range(16)])


@pytest.mark.parametrize(
    ("number", "by"),
    [
        ("127.0.0.1", "loopback"),
        ("127.3.2.1", "loopback"),
        ("10.1.2.3", "private"),
        ("192.168.1.4", "private"),
        ("172.16.0.1", "private"),
        ("169.254.7.7", "private"),
        ("100.100.1.1", "private"),
        ("0.0.0.0", "public"),
        ("8.8.8.8", "public"),
        ("172.32.0.1", "public"),
    ],
)
def test_who_can_reach_an_address(number: str, by: str) -> None:
    assert reach(number) == by


BAD = [
    ("attic:", "'attic:': '' is not a port."),
    (
        "attic:http",
        "'http' is not a port. It must be a number from 1 to 65535; the default is 50052.",
    ),
    ("attic:0", "'0' is not a port."),
    ("attic:65536", "'65536' is not a port."),
    ("::1", "have IPv4 addresses only."),
    ("", "has no host: name it as HOST:PORT, like 10.0.0.7:50052."),
    ("http://attic:50052", "have IPv4 addresses only."),
    ("at tic", "has no host"),
    ("attic.invalid", "no machine with an IPv4 address is called 'attic.invalid'."),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_a_wrong_address_is_refused(
    text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert why in complaint(capsys, "devices", "--worker", text)


def test_workers_in_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('worker = "attic"\n')
    config = read_config(path)
    assert chat_settings({}, config).load.workers == ("attic",)
    assert chat_settings({"worker": ["b", "c"]}, config).load.workers == ("b", "c")
    assert chat_settings({"no_gpu": True}, config).load == LoadOptions(no_gpu=True)
    with pytest.raises(SettingsError, match="--no-gpu leaves nothing for a worker"):
        chat_settings({"no_gpu": True, "worker": ["b"]}, config)
