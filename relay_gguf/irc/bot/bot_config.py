"""The engine, the files and the options of a bot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay_gguf.conversation.messages import NICKS
from relay_gguf.engine import Engine
from relay_gguf.sampling import SamplingParams

from .addressing import Reply

PAUSE: Final = 8.0
"""Seconds without a message after which the model answers several people who did not name it."""
REJOIN: Final = 15.0
"""Seconds within which a PART and a JOIN begin the scene anew, as clients' /cycle sends them;
clients with a queue need some of them."""


@dataclass(frozen=True, slots=True)
class BotConfig:
    """What all scenes of a bot have in common, and when it answers."""

    engine: Engine
    sampling: SamplingParams
    folder: Path | None = None
    """Where scenes are saved; None saves nothing."""
    path: str = ""
    """Of the model's file, which saved scenes name."""
    exports: Path | None = None
    """Where EXPORT writes; None is the current folder."""
    nick: str = NICKS["model"]
    reply: Reply = "auto"
    pause: float = PAUSE
    rejoin: float = REJOIN
