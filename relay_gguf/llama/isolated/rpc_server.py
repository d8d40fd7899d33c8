"""The server process of a worker: llama.cpp's RPC server, which a malformed request may end.

Run by `workers.lending` as `python -m relay_gguf.llama.isolated.rpc_server TERMS`, with `Terms` as
JSON. It prints one line of JSON, its devices or the error, and serves until its stdin ends.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from relay_gguf.child import end_with_parent, replies
from relay_gguf.debug import log_everything
from relay_gguf.errors import RelayError
from relay_gguf.workers.lending import NO_PORT, Terms


def main() -> None:
    """Serve on the terms of the command line."""
    out = replies()
    terms = Terms(**json.loads(sys.argv[1]))
    if terms.debug:
        log_everything()

    def say(**line: Any) -> None:
        out.write(json.dumps(line).encode() + b"\n")
        out.flush()

    try:
        from relay_gguf.llama.rpc import lend, serve
        from relay_gguf.machine.cpu import physical_cores

        end_with_parent()  # on Windows, no library can be loaded while a thread reads stdin
        lent = lend(terms.devices, terms.memory)
        devices = [one.device for one in lent]
        say(devices=[[d.name, d.description, d.free, d.total] for d in devices])
        cache = Path(terms.cache) if terms.cache else None
        serve(f"{terms.host}:{terms.port}", cache, terms.threads or physical_cores(), lent)
    except RelayError as error:
        say(error=str(error))
        os._exit(1)
    os._exit(NO_PORT)


if __name__ == "__main__":
    main()
