"""A client library of browsers at the WebSocket: npm's irc-framework. Run with -m clients."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from bots import MakeBot
from programs import needs
from wire import Serve

pytestmark = [pytest.mark.clients, pytest.mark.usefixtures("make_bot")]
SCRIPT = Path(__file__).with_name("irc_framework.js")


@pytest.mark.parametrize("protocol", ["text.ircv3.net", "none"])
def test_irc_framework_talks_over_a_websocket(
    protocol: str, serve: Serve, make_bot: MakeBot
) -> None:
    needs("node")
    if not (modules := os.environ.get("RELAY_NODE_MODULES")):
        pytest.skip("RELAY_NODE_MODULES names no folder into which npm installed irc-framework")
    port = serve(make_bot("hello, ann")).address[1]
    run = subprocess.run(
        ["node", "--experimental-websocket", SCRIPT, str(port), protocol],
        env={**os.environ, "NODE_PATH": modules},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    seen = json.loads(run.stdout)
    assert seen == {"said": ["hello, ann"], "users": ["user", "ann"], "reply": "1/1"}
