"""Uploads without a network: what is sent, and the command in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from relay_gguf.convert.publish.upload import UploadPlan


class Sender:
    """Takes what is sent."""

    def __init__(self) -> None:
        self.sent: dict[str, bytes] = {}
        self.said: tuple[str, bool, str] | None = None

    def __call__(self, repo: str, files: Mapping[str, Path], *, private: bool, message: str) -> str:
        self.sent = {name: path.read_bytes() for name, path in files.items()}
        self.said = (repo, private, message)
        return f"https://hub/{repo}/commit/1"


def states(plan: UploadPlan) -> dict[str, str]:
    return {item.name: item.state for item in plan.items}


NAMES = [
    *("tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf", "LICENSE", "README.md", "SHA256SUMS"),
    *("lm_studio_preset.json", "tiny-Q4_K_M.report.json", "tiny-Q8_0.report.json"),
]


def command(*arguments: str | Path) -> tuple[int, str, str]:
    """The upload command in a process of its own: the hub's library reads its settings once."""
    code = (
        "import sys, typer\nfrom relay_gguf.cli.convert.publish import upload\n"
        "from relay_gguf.errors import RelayError\n"
        "app = typer.Typer(pretty_exceptions_enable=False); app.command()(upload)\n"
        "try: app(sys.argv[1:])\nexcept RelayError as error: sys.exit(str(error))\n"
    )
    line = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, encoding="utf-8", check=False)
    return done.returncode, done.stdout, done.stderr
