"""Where a server may listen, and which host of a client is shown."""

from __future__ import annotations

import pytest

from relay_gguf.errors import RelayError
from relay_gguf.irc.host import check_address, shown_host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost"])
def test_an_address_of_this_machine_needs_no_password(host: str) -> None:
    check_address(host, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.2", "example.org", "localhost.x"])
def test_every_other_address_needs_a_password(host: str) -> None:
    with pytest.raises(RelayError, match="set a password"):
        check_address(host, "")
    check_address(host, "secret")


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        (("127.0.0.1", 5), "localhost"),
        (("::1", 5, 0, 0), "localhost"),
        (("192.168.1.2", 5), "192.168.1.2"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::1"),
        (("::ffff:1.2.3.4", 5, 0, 0), "0::ffff:1.2.3.4"),
        ("", "localhost"),
        (None, "localhost"),
    ],
)
def test_the_host_of_a_client_is_shown_short(peer: object, host: str) -> None:
    assert shown_host(peer) == host
