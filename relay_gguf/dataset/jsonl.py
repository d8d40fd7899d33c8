"""Conversations as JSON lines, each one once, and some of them held out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Final, TextIO

from relay_gguf.conversation.messages import Message
from relay_gguf.disk import partial
from relay_gguf.errors import ConversionError, SettingsError

from .drafts import Conversation
from .tally import Tally

Form = Callable[[tuple[Message, ...]], object]


def chat_form(messages: tuple[Message, ...]) -> object:
    """A conversation as `messages` with `role` and `content`."""
    return {"messages": [{"role": line.nick, "content": line.content} for line in messages]}


def sharegpt_form(messages: tuple[Message, ...]) -> object:
    """A conversation as `conversations` with `from` and `value`, ShareGPT's form."""
    return {"conversations": [{"from": line.nick, "value": line.content} for line in messages]}


FULL: Final = 1 << 64


class JsonlWriter:
    """Writes conversations, each one once, and counts them.

    Whether a conversation is held out depends on its text and the seed alone: more logs do not
    move it from one file to the other.
    """

    def __init__(
        self,
        tally: Tally,
        form: Form,
        main: TextIO | None,
        held: TextIO | None,
        *,
        share: float,
        seed: int,
    ) -> None:
        """Write to `main`, and a `share` of the conversations to `held`; None writes nothing.

        Args:
            tally: counts conversations, messages and tokens.
            form: messages → the JSON value of a line.
            main: the file to train on.
            held: the file of conversations that are held out.
            share: how many are held out, 0 to 1.
            seed: chooses them.
        """
        self._tally, self._form = tally, form
        self._main, self._held = main, held
        self._limit = int(share * FULL)
        self._key = str(seed).encode()
        self._seen: set[bytes] = set()

    def write(self, conversation: Conversation) -> None:
        """Write a conversation, unless the same one was written before."""
        text = json.dumps(self._form(conversation.messages), ensure_ascii=False)
        data = text.encode("utf-8", "surrogatepass")
        digest = blake2b(data, key=self._key[:64], digest_size=16).digest()
        tally = self._tally
        if digest in self._seen:
            tally.duplicates += 1
            return
        self._seen.add(digest)
        holds = int.from_bytes(digest[:8], "big") < self._limit
        file = self._held if holds else self._main
        if file is not None:
            file.write(text + "\n")
        tally.conversations += 1
        tally.held_out += holds
        tally.messages += len(conversation.messages)
        tally.replies += conversation.replies
        tally.tokens += conversation.tokens


def held_out_path(path: Path) -> Path:
    """The path of the conversations that are held out of a file."""
    return path.with_name(f"{path.stem}-held-out{path.suffix}")


class NewFiles:
    """Files that get their names when all are written, so that none is ever incomplete."""

    def __init__(self, paths: list[Path], *, force: bool) -> None:
        """Plan to write files.

        Args:
            paths: of the files.
            force: replace existing files.

        Raises:
            SettingsError: a file exists already, is a folder, or is named twice.
        """
        for path in paths:
            if path.is_dir():
                raise SettingsError(f"{path} is a folder. Name a file.")
            if path.exists() and not force:
                raise SettingsError(f"{path} exists already; --force replaces it.")
        if len(set(paths)) < len(paths):
            raise SettingsError(f"{paths[0]} is asked for twice.")
        self._paths = paths
        self._stack = ExitStack()
        self.wanted = True  # False leaves no file

    def __enter__(self) -> list[TextIO]:
        try:
            return [
                self._stack.enter_context(
                    partial(path).open("w", encoding="utf-8", errors="replace", newline="\n")
                )
                for path in self._paths
            ]
        except OSError as error:
            self._stack.close()
            raise ConversionError(f"Cannot write {error.filename}: {error.strerror}.") from error

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stack.close()
        for path in self._paths:
            if kind is None and self.wanted:
                partial(path).replace(path)
            else:
                partial(path).unlink(missing_ok=True)
