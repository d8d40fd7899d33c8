"""Where a server may listen without a secret, and where not."""

from __future__ import annotations

import pytest

from relay_gguf.errors import SettingsError
from relay_gguf.machine.listen_address import check_reach

LOCAL = ("127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST.")
OTHERS = ("0.0.0.0", "", "::", "192.168.1.2", "example.org", "localhost.x")


@pytest.mark.parametrize("host", LOCAL)
def test_an_address_of_this_machine_needs_no_secret(host: str) -> None:
    check_reach(host, "", "--password")


@pytest.mark.parametrize("host", OTHERS)
def test_every_other_address_needs_a_secret(host: str) -> None:
    with pytest.raises(SettingsError, match="set a password with --password, or listen on 127"):
        check_reach(host, "", "--password")
    with pytest.raises(SettingsError, match="set a key with --api-key"):
        check_reach(host, "", "--api-key")
    check_reach(host, "secret", "--password")
