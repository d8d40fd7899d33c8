"""The engine, the files and the options of a bot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay_gguf.conversation.company.ensemble import CHATTER
from relay_gguf.conversation.company.person import Person
from relay_gguf.conversation.messages import NICKS
from relay_gguf.engine import Engine, HasSeats
from relay_gguf.sampling import SamplingParams

from .addressing import Reply

PAUSE: Final = 8.0
"""Seconds without a message after which the model answers several people who did not name it."""
REJOIN: Final = 15.0
"""Seconds from a PART to a JOIN within which a scene is begun anew, as the /cycle of clients asks;
a client that queues its commands takes some of that time."""

BREATH: Final = 3.0
"""Seconds after a line before the model's people say something to each other."""

KEEP: Final = 600.0
"""Seconds after which a channel that everybody left is closed; its scene is on disk."""


@dataclass(frozen=True, slots=True)
class BotConfig:
    """What all scenes of a bot have in common, and when it answers."""

    engine: Engine
    sampling: SamplingParams
    folder: Path | None = None
    """Where scenes are saved; None saves nothing."""
    path: str = ""
    """Path of the model's file, which is noted in saved sessions."""
    exports: Path | None = None
    """Where EXPORT writes; None is the current folder."""
    nick: str = NICKS["model"]
    """The model's on the network; in prompts it has its usual nick."""
    reply: Reply = "auto"
    pause: float = PAUSE
    """Seconds."""
    rejoin: float = REJOIN
    """Seconds."""
    keep: float = KEEP
    """Seconds."""
    slots: int = 1
    """Replies at once, if the engine has seats."""
    cast: tuple[Person, ...] = ()
    """The people in every channel, in place of the model as `nick`."""
    chatter: int = CHATTER
    """Lines that the people of a channel say to each other after a human's."""
    breath: float = BREATH
    """Seconds."""

    @property
    def n_at_once(self) -> int:
        """Replies that are generated at once."""
        return self.slots if self.has_seats else 1

    @property
    def has_seats(self) -> bool:
        """Whether each conversation, and each person in it, has an engine of its own."""
        return isinstance(self.engine, HasSeats)

    def seat(self) -> Engine:
        """The engine for one more scene: the same for all, or a seat at it."""
        return self.engine.seat() if isinstance(self.engine, HasSeats) else self.engine
