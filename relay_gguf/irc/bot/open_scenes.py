"""The scenes that a bot has in use, and those that are saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from relay_gguf.conversation.messages import NICKS, Message
from relay_gguf.errors import StoreError
from relay_gguf.irc.network.channel import Topic
from relay_gguf.irc.network.hooks import StoredMessage
from relay_gguf.irc.protocol.names import fold
from relay_gguf.machine.devices import available_memory

from .bot_config import BotConfig
from .scene import Scene

_WAITING_BYTES: Final = 2 << 30


class OpenScenes:
    """Scenes by channel, or by nick for private talks; each is opened when it is first needed."""

    def __init__(self, config: BotConfig) -> None:
        self._config = config
        self._scenes: dict[str, Scene] = {}

    def get(self, place: str, failed: Callable[[str, str], object]) -> Scene | None:
        """The scene of a channel or nick.

        Args:
            place: the channel or nick.
            failed: called with it and an error text if the scene's file cannot be used; then the
                result is None.
        """
        key, config = fold(place), self._config
        if key not in self._scenes:
            try:
                self._scenes[key] = Scene(
                    config.engine,
                    config.sampling,
                    key,
                    config.folder,
                    path=config.path,
                    exports=config.exports,
                )
            except StoreError as error:
                failed(place, str(error))
                return None
        return self._scenes[key]

    def find(self, place: str) -> Scene | None:
        """The scene of a channel or nick if it is in use; it is not opened."""
        return self._scenes.get(fold(place))

    def close(self) -> None:
        """Close the sessions of all scenes."""
        for scene in self._scenes.values():
            scene.session.close()


def topic_of(scene: Scene) -> Topic | None:
    """The topic of a scene, with the time of its last message; None if it has none."""
    if scene.is_new or not scene.topic:
        return None
    when = next((when for when, _ in scene.past(1)), 0.0)
    return Topic(scene.topic, NICKS["input"], when)


def history_of(scene: Scene, limit: int, nick: str) -> Sequence[StoredMessage]:
    """The last messages of a scene, `limit` at most, oldest first; the model's are by `nick`."""
    if scene.is_new:
        return ()
    return [_stored(when, message, nick) for when, message in scene.past(limit)]


def waiting_bytes() -> int:
    """Bytes of RAM for the KV caches of scenes that wait: at most a quarter of what is free."""
    return min(_WAITING_BYTES, (available_memory() or 0) // 4)


def _stored(when: float, message: Message, nick: str) -> StoredMessage:
    author = nick if message.nick == NICKS["model"] else message.nick
    if message.content.startswith("/me ") and message.nick != NICKS["model"]:
        return StoredMessage(when, author, message.content.removeprefix("/me "), "action")
    return StoredMessage(when, author, message.content)
