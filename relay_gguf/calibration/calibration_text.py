"""What a model reads for an importance matrix: scenes of IRC with general text, or files.

Scenes are given as the model meets them, with control tokens as ids; llama-imatrix splits these
into letters unless told. Text of another kind is mixed in, since a matrix of chats alone serves
nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

from relay_gguf.errors import CalibrationError

IRC: Final = "irc.jsonl"
GENERAL: Final = "general.txt"
OURS: Final = {IRC: "relay-gguf's scenes of IRC", GENERAL: "relay-gguf's general text"}
"""The texts of this package, and what an importance matrix calls them."""
SCENES: Final = (".jsonl", ".ndjson")
"""Endings of files with scenes; others are plain text."""
FORMS: Final = (("messages", "role", "content"), ("conversations", "from", "value"))
"""Names of a scene's list, and in it of nick and text, as `relay-gguf dataset` writes them."""

Scene = tuple[tuple[str, str], ...]
"""(nick, text) of each message."""


class ChunkVocabulary(Protocol):
    """A model's vocabulary."""

    @property
    def bos(self) -> int | None:
        """The token that the file wants before a text; None if it wants none."""

    @property
    def control(self) -> tuple[int, int] | None:
        """The tokens that begin and end a message; None if the vocabulary has none."""

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """The ids of a text; with `parse_special`, texts of control tokens become these tokens."""


@dataclass(frozen=True, slots=True)
class CalibrationText:
    """A plain text, or scenes; `name` is what an importance matrix calls it."""

    name: str
    text: str = ""
    scenes: tuple[Scene, ...] = ()

    def tokens(self, vocabulary: ChunkVocabulary, *, parse_special: bool = False) -> list[int]:
        """Its ids; scenes without control tokens in the vocabulary are lines of a log."""
        if not self.scenes:
            bos = [] if vocabulary.bos is None else [vocabulary.bos]
            return bos + vocabulary.tokenize(self.text, parse_special=parse_special)
        control = vocabulary.control
        if control is None:
            log = "\n".join(f"<{nick}> {said}" for scene in self.scenes for nick, said in scene)
            return vocabulary.tokenize(log)
        start, end = control
        newline = vocabulary.tokenize("\n")
        ids: list[int] = []
        for scene in self.scenes:
            for nick, said in scene:
                ids += [start, *vocabulary.tokenize(f"{nick}\n{said}"), end, *newline]
        return ids


def our_texts() -> list[CalibrationText]:
    """The texts of this package."""
    folder = files("relay_gguf.calibration")
    scenes = folder.joinpath(IRC).read_text("utf-8").splitlines()
    general = folder.joinpath(GENERAL).read_text("utf-8").removesuffix("\n")
    return [
        CalibrationText(OURS[IRC], scenes=tuple(_scene(json.loads(line)) for line in scenes)),
        CalibrationText(OURS[GENERAL], general),
    ]


def read_calibration_text(path: Path) -> CalibrationText:
    """A file: scenes if its name ends in .jsonl, else plain text, as llama-imatrix reads it.

    Raises:
        CalibrationError: it cannot be read, is empty, or a line is not a scene.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace").removesuffix("\n")
    except FileNotFoundError:
        raise CalibrationError(f"There is no file {path}. Check --data.") from None
    except OSError as error:
        raise CalibrationError(f"Cannot read {path}: {error.strerror or error}.") from error
    if not text.strip():
        raise CalibrationError(f"{path} is empty: there is nothing to measure with.")
    if path.suffix.lower() not in SCENES:
        return CalibrationText(path.name, text)
    return CalibrationText(path.name, scenes=tuple(_scenes(path, text)))


def chunks_of(
    texts: Sequence[CalibrationText],
    vocabulary: ChunkVocabulary,
    n_ctx: int,
    *,
    most: int | None = None,
    parse_special: bool = False,
) -> list[list[int]]:
    """The texts cut into chunks of `n_ctx` tokens, in turn of each in proportion to its length.

    So that any number of first chunks is a mixture. The rest of a text that fills no chunk is left
    out, as llama-imatrix does it.

    Args:
        texts: at least one.
        vocabulary: of the model.
        n_ctx: tokens of a chunk.
        most: chunks that are taken; None for all.
        parse_special: texts of control tokens in a plain text are these tokens.

    Raises:
        CalibrationError: the texts have not one chunk.
    """
    cut = []
    n_tokens = 0
    for text in texts:
        ids = text.tokens(vocabulary, parse_special=parse_special)
        n_tokens += len(ids)
        cut.append([ids[at : at + n_ctx] for at in range(0, len(ids) - n_ctx + 1, n_ctx)])
    places = [
        ((index + 0.5) / len(chunks), number, chunk)
        for number, chunks in enumerate(cut)
        for index, chunk in enumerate(chunks)
    ]
    if not places:
        raise CalibrationError(
            f"The text has {n_tokens:,} tokens; a chunk has {n_ctx:,}. Take a longer text, or a "
            "smaller --n-ctx."
        )
    return [chunk for _, _, chunk in sorted(places, key=lambda place: place[:2])][:most]


def _scenes(path: Path, text: str) -> Iterator[Scene]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield _scene(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise CalibrationError(
                f"{path}, line {number} is not a conversation: it should be like "
                '{"messages": [{"role": "anon", "content": "hi"}]}. Plain text should be in a file '
                "that does not end with .jsonl."
            ) from None


def _scene(given: Mapping[str, Any]) -> Scene:
    for key, nick, content in FORMS:
        if key in given:
            return tuple(_messages(given[key], nick, content))
    raise KeyError(FORMS[0][0])


def _messages(
    given: Iterable[Mapping[str, Any]], nick: str, content: str
) -> Iterator[tuple[str, str]]:
    for message in given:
        who, said = message[nick], message[content]
        if not isinstance(who, str) or not isinstance(said, str):
            raise TypeError(message)
        yield who, said
