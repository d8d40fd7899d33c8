"""A text as chunks of tokens, of which the later half of each is compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from relay_gguf.conversation.messages import NICKS
from relay_gguf.conversation.prompt import Encoder
from relay_gguf.engine import Vocabulary
from relay_gguf.errors import QualityError

from .base_logits import n_scored
from .figures import LEAST_POSITIONS
from .scenes import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TextVocabulary(Vocabulary, Protocol):
    """A vocabulary that knows what its model's file wants before a text."""

    @property
    def added_bos(self) -> int | None:
        """The token that the file wants there; None if it wants none."""


def plain_chunks(
    vocabulary: TextVocabulary, text: str, n_ctx: int, n_positions: int | None
) -> NDArray[np.int32]:
    """A text cut as llama.cpp's perplexity tool cuts it: one chunk after the other.

    Args:
        vocabulary: of the model.
        text: the whole of it.
        n_ctx: tokens of a chunk.
        n_positions: that are compared at least; None for all.

    Returns:
        (n_chunks, n_ctx)

    Raises:
        QualityError: the text is shorter than two chunks.
    """
    bos = vocabulary.added_bos
    tokens = [*([] if bos is None else [bos]), *vocabulary.tokenize(text)]
    if len(tokens) < 2 * n_ctx:
        raise QualityError(
            f"The text has {len(tokens):,} tokens; two chunks of {n_ctx} are the least. Take a "
            "longer text, or a smaller --n-ctx."
        )
    n_chunks = _checked(len(tokens) // n_ctx, n_ctx, n_positions)
    return np.array(tokens[: n_chunks * n_ctx], np.int32).reshape(n_chunks, n_ctx)


def scene_chunks(
    vocabulary: TextVocabulary, scenes: Iterable[Scene], n_ctx: int, n_positions: int | None
) -> NDArray[np.int32]:
    """Scenes in Relay's format, one after the other, read in windows that overlap.

    Each token is compared once, with half a window before it or more. Where fewer positions are
    wanted than there are, windows are taken from all of the scenes.

    Returns:
        (n_chunks, n_ctx)

    Raises:
        QualityError: the scenes are shorter than one window.
        ModelError: the model has no control tokens.
    """
    encoder, control = Encoder(vocabulary), vocabulary.control
    tokens: list[int] = []
    for scene in scenes:
        tokens.extend([] if control.bos is None else [control.bos])
        for message in scene:
            tokens.extend(encoder.message(message))
    if len(tokens) < n_ctx:
        raise QualityError(
            f"The scenes have {len(tokens):,} tokens; a window of {n_ctx} is the least. Take more "
            "scenes, or a smaller --n-ctx."
        )
    starts = range(0, len(tokens) - n_ctx + 1, n_scored(n_ctx))
    n_chunks = _checked(len(starts), n_ctx, n_positions)
    picked = np.linspace(0, len(starts) - 1, n_chunks).round().astype(int)
    return np.array([tokens[starts[i] : starts[i] + n_ctx] for i in picked], np.int32)


def _checked(n_chunks: int, n_ctx: int, n_positions: int | None) -> int:
    """How many chunks are taken of those that there are.

    Raises:
        QualityError: these are too few.
    """
    each = n_scored(n_ctx)
    if n_positions is not None:
        n_chunks = min(n_chunks, -(-n_positions // each))
    if n_chunks * each < LEAST_POSITIONS:
        raise QualityError(
            f"{n_chunks * each} positions are too few to say anything; {LEAST_POSITIONS} are the "
            "least. Take a longer text, or more --positions."
        )
    return n_chunks


def spoken_by_model(tokens: NDArray[np.int32], vocabulary: Vocabulary) -> NDArray[np.bool_] | None:
    """Which scored positions are followed by what the model says, and not by its nick.

    Its lines count up to the token that ends them. What stands before the first control token of a
    chunk is not known, and does not count.

    Args:
        tokens: of all chunks, (n_chunks, n_ctx).
        vocabulary: of the model.

    Returns:
        (n_chunks * n_scored,); None where the text has no messages.
    """
    start, end = (vocabulary.control.im_start, vocabulary.control.im_end)
    if np.count_nonzero(tokens == start) <= len(tokens):
        return None
    said = np.array([list(_said(chunk, vocabulary, start, end)) for chunk in tokens.tolist()])
    n_ctx = tokens.shape[1]
    return said[:, n_ctx // 2 + 1 :].reshape(-1)


def _said(chunk: Sequence[int], vocabulary: Vocabulary, start: int, end: int) -> Iterable[bool]:
    """Whether each token of a chunk belongs to a line of the model."""
    nick: bytes | None = None  # in a message, while its nick is read
    speaks = False
    for token in chunk:
        yield speaks and token != start
        if token == start:
            nick, speaks = b"", False
        elif token == end:
            nick, speaks = None, False
        elif nick is not None:
            nick += vocabulary.piece(token)
            if b"\n" in nick:
                speaks = nick.partition(b"\n")[0].decode("utf-8", "replace") == NICKS["model"]
                nick = None
