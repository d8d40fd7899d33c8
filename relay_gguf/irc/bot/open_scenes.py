"""The scenes that a bot has in use, and those that are saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from relay_gguf.conversation.company.ensemble import WILLING
from relay_gguf.conversation.company.person import Person
from relay_gguf.conversation.messages import ACTION, NICKS, Message
from relay_gguf.errors import StoreError
from relay_gguf.irc.network.channel import Topic
from relay_gguf.irc.network.hooks import StoredMessage
from relay_gguf.irc.protocol.names import fold

from .bot_config import BotConfig
from .pauses import Pauses
from .scene import ALONE, Scene

MOST_OPEN: Final = 32
"""Scenes that are open at a time; each keeps a file open, of which some systems allow 256."""


class OpenScenes:
    """Scenes by channel, or by nick for private talks; each is opened when it is needed.

    A scene is closed when its channel has been empty, or a private talk silent, for `config.keep`
    seconds, or when too many others are used. It is opened again from its file.
    """

    def __init__(
        self,
        config: BotConfig,
        occupied: Callable[[str], object],
        people: Callable[[str], Sequence[Person]] = lambda place: (ALONE,),
    ) -> None:
        """No scene yet.

        Args:
            config: of the bot.
            occupied: whether anybody is in a channel.
            people: whom the model plays in a channel or private talk.
        """
        self._config = config
        self._people = people
        self._occupied = occupied
        self._scenes: dict[str, Scene] = {}  # the one used last at the end
        self._unused = Pauses(config.keep)

    def get(self, place: str, failed: Callable[[str, str], object]) -> Scene | None:
        """The scene of a channel or nick.

        Args:
            place: the channel or nick.
            failed: called with it and an error text if the scene's file cannot be used; then the
                result is None.
        """
        key, config = fold(place), self._config
        scene = self._scenes.pop(key, None)
        if scene is None:
            self._make_room()
            try:
                scene = Scene(
                    config.seat(),
                    config.sampling,
                    key,
                    config.folder,
                    path=config.path,
                    exports=config.exports,
                    people=self._people(place),
                    seat=config.seat if config.has_seats else None,
                    nick=config.nick,
                    chatter=config.chatter,
                    willing=0.0 if config.reply == "mention" else WILLING,
                )
            except StoreError as error:
                failed(place, str(error))
                return None
        self._scenes[key] = scene
        self._unused.start(key, partial(self._close_unused, key))
        return scene

    def find(self, place: str) -> Scene | None:
        """The scene of a channel or nick if it is in use; it is not opened."""
        return self._scenes.get(fold(place))

    def close(self) -> None:
        """Close the sessions of all scenes."""
        self._unused.close()
        for scene in self._scenes.values():
            scene.session.close()

    def _close_unused(self, key: str) -> None:
        """Close a scene where nobody is; where somebody is, or it is at work, look again later."""
        scene = self._scenes.get(key)
        if scene is None:
            return
        if scene.can_close and not self._occupied(key):
            self._scenes.pop(key).session.close()
        else:
            self._unused.start(key, partial(self._close_unused, key))

    def _make_room(self) -> None:
        """Close the scenes used longest ago, so that one more can be open."""
        idle = [key for key, scene in self._scenes.items() if scene.can_close]
        for key in idle[: max(len(self._scenes) + 1 - MOST_OPEN, 0)]:
            self._unused.cancel(key)
            self._scenes.pop(key).session.close()


def topic_of(scene: Scene | None) -> Topic | None:
    """The topic of a scene, with the time of its last message; None if it has none."""
    if scene is None or scene.is_new or not scene.topic:
        return None
    when = next((when for when, _ in scene.past(1)), 0.0)
    return Topic(scene.topic, NICKS["input"], when)


def history_of(scene: Scene | None, limit: int, nick: str) -> Sequence[StoredMessage]:
    """The last messages of a scene, `limit` at most, oldest first; the model's are by `nick`."""
    if scene is None or scene.is_new:
        return ()
    return [_stored(when, message, nick) for when, message in scene.past(limit)]


def _stored(when: float, message: Message, nick: str) -> StoredMessage:
    author = nick if message.nick == NICKS["model"] else message.nick
    if message.content.startswith(ACTION) and message.nick != NICKS["model"]:
        return StoredMessage(when, author, message.content.removeprefix(ACTION), "action")
    return StoredMessage(when, author, message.content)
