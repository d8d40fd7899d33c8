"""Which host of a client is shown."""

from __future__ import annotations

import pytest

from relay_gguf.irc.host import shown_host


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
