"""How irctest, the public conformance suite of IRC servers, starts ours.

irctest is not part of this project. From a checkout of its repository
(https://github.com/progval/irctest), with this folder on PYTHONPATH:

    pytest --controller irctest_controller irctest/server_tests \\
        -m 'not services and not implementation-specific and not deprecated'

`IRCTEST=that/checkout pytest -m clients tests/irc/test_irctest.py` does this from here.
"""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

from irctest.basecontrollers import BaseServerController, DirectoryBasedController
from irctest.runner import NotImplementedByController

NAME = "My.Little.Server"
"""The name that irctest's tests expect."""


class RelayController(BaseServerController, DirectoryBasedController):
    """`relay-gguf irc --bare` on a port that irctest has chosen."""

    software_name = "relay-gguf"
    supported_sasl_mechanisms: ClassVar[set[str]] = set()
    supports_sts = False
    _place: tuple[str, int] | None = None

    def get_hostname_and_port(self) -> tuple[str, int]:
        """The same place each time: WebSockets come to the port of all other clients."""
        if self._place is None:
            _, port = super().get_hostname_and_port()
            self._place = ("127.0.0.1", port)  # where no password is needed
        return self._place

    def run(
        self,
        hostname: str,
        port: int,
        *,
        password: str | None = None,
        ssl: bool = False,
        run_services: bool = False,
        **unused: Any,
    ) -> None:
        """Start the server; irctest waits until the port answers.

        Raises:
            NotImplementedByController: a test wants services.
        """
        if run_services:
            raise NotImplementedByController("services")
        self.port = port
        self.hostname = hostname
        self.create_config()
        options = ["--host", hostname, "--port", str(port), "--server-name", NAME]
        if ssl:
            self.gen_ssl()
            options += ["--tls-cert", str(self.pem_path), "--tls-key", str(self.key_path)]
        if password:
            os.environ["RELAY_IRC_PASSWORD"] = password
        else:
            os.environ.pop("RELAY_IRC_PASSWORD", None)
        os.environ["RELAY_IRC_OPER_PASSWORD"] = "operpassword"
        command = [sys.executable, "-m", "relay_gguf", "irc", "--bare", "--oper-name", "operuser"]
        self.proc = self.execute([*command, *options])


def get_irctest_controller_class() -> type[RelayController]:
    """The controller, as irctest asks for it."""
    return RelayController
