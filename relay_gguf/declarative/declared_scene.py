"""A scene in a channel: its context, under the words of the original's declarative API."""

from __future__ import annotations

from abc import ABC, abstractmethod

from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.messages import DEFAULT_CHANNEL, Message, Role


class DeclaredScene(ABC):
    """What is said in a channel, and who says it.

    `context` is what the model reads next: a list of `{"role": nick, "content": text}`, yours to
    read and change; `channel` is where the scene plays.
    """

    def __init__(self) -> None:
        """Begin with an empty context."""
        self.channel = DEFAULT_CHANNEL
        self.context: list[dict[str, str]] = []

    @property
    @abstractmethod
    def nicks(self) -> dict[Role, str]:
        """The nicks of the roles `system`, `model` and `input`."""

    def init_context(self) -> None:
        """Empty the context."""
        self.context = []

    def get_last(self) -> dict[str, str]:
        """The last entry of the context; an empty dict if the context is empty."""
        return self.context[-1] if self.context else {}

    def message(self, role: Role, content: str) -> None:
        """Let `role` say something: add it to the context."""
        self._add(Message(self.nicks[role], content))

    def join(self, role: Role, channel: str) -> None:
        """Begin a scene in a channel; the context before it is gone.

        Raises:
            CommandError: the channel has no name. The context stays, as after all such errors.
        """
        lines = rules.join(self.nicks, role, channel)
        self.init_context()
        self._add(*lines)
        self.channel = channel

    def topic(self, role: Role, text: str) -> None:
        """Set the channel's topic."""
        self._add(*rules.topic(self.nicks, role, self.channel, text))

    def cast(self, role: Role, desc: str) -> None:
        """Give a bio to the other speaker: `role` asks who that is, IRC answers."""
        self._add(*rules.cast(self.nicks, role, desc))

    def slap(self, role: Role) -> None:
        """Slap the other speaker with a large trout."""
        self._add(*rules.slap(self.nicks, role))

    def wildcard(self, role: Role, cmd: str, arg: str = "") -> None:
        """Use any other command, `cmd` with its slash: the model decides what it means."""
        self._add(*rules.wildcard(self.nicks, role, cmd, arg))

    def reset(self, role: Role = "model") -> None:
        """Begin again in the first channel: `role` joins #random."""
        self.join(role, DEFAULT_CHANNEL)

    def _add(self, *lines: Message) -> None:
        self.context += [{"role": line.nick, "content": line.content} for line in lines]

    @property
    def _lines(self) -> list[Message]:
        return [Message(entry["role"], entry["content"]) for entry in self.context]
