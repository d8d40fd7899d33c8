"""A text as chunks: each token of scenes is compared once, and it is known who says it."""

from __future__ import annotations

import numpy as np

from relay_gguf.conversation.messages import NICKS
from relay_gguf.engine import ControlTokens
from relay_gguf.quality.chunks import plain_chunks, scene_chunks, spoken_by_model
from relay_gguf.quality.scenes import Scene, held_out_scenes

START, END, BOS = 256, 257, 258


class Letters:
    """A vocabulary of bytes."""

    def __init__(self, *, bos: bool = False) -> None:
        self.control = ControlTokens(START, END, BOS if bos else None)
        self.added_bos = BOS if bos else None

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""


def text_of(tokens: list[int]) -> str:
    """Tokens as text, the control tokens as `[`, `]` and `^`."""
    return "".join(
        {START: "[", END: "]", BOS: "^"}.get(t, chr(t) if t < 128 else "?") for t in tokens
    )


def scenes() -> list[Scene]:
    return held_out_scenes()[:6]


def test_plain_text_is_cut_one_chunk_after_the_other() -> None:
    text = "".join(chr(97 + i % 26) for i in range(517))
    found = plain_chunks(Letters(bos=True), text, 64, None)
    assert found.shape == (8, 64)
    assert text_of(found.reshape(-1).tolist()) == f"^{text}"[:512]
    assert plain_chunks(Letters(), text, 64, 100).shape == (4, 64)  # of 31 positions each


def test_each_token_of_scenes_is_compared_once() -> None:
    vocabulary = Letters(bos=True)
    found = scene_chunks(vocabulary, scenes(), 64, None)
    whole = [
        token
        for scene in scenes()
        for token in [
            BOS,
            *(t for m in scene for t in [START, *f"{m.nick}\n{m.content}".encode(), END, 10]),
        ]
    ]
    following = found[:, 33:].reshape(-1).tolist()
    assert following == whole[33 : 33 + len(following)]
    assert len(whole) - 33 - len(following) < 31


def test_fewer_positions_are_taken_from_all_scenes() -> None:
    every = scene_chunks(Letters(), scenes(), 64, None)
    found = scene_chunks(Letters(), scenes(), 64, 5 * 31 - 3)
    assert found.shape == (5, 64)
    places = [int(np.flatnonzero((every == chunk).all(axis=1))[0]) for chunk in found]
    assert places[0] == 0
    assert places[-1] == len(every) - 1
    assert np.ptp(np.diff(places)) <= 1


def test_what_the_model_says_is_known_from_the_tokens() -> None:
    vocabulary = Letters()
    found = scene_chunks(vocabulary, scenes(), 400, None)
    spoken = spoken_by_model(found, vocabulary)
    assert spoken is not None
    marked = found[:, 201:].reshape(-1)[spoken]
    said = text_of(marked.tolist()).split("]")[1:-1]  # the first and last may be cut
    lines = {m.content for scene in scenes() for m in scene if m.nick == NICKS["model"]}
    heard = {line.encode().decode("ascii", "replace").replace("\ufffd", "?") for line in lines}
    assert len(said) > 40
    assert sum(line in heard for line in said) > 0.9 * len(said)
    assert not any("\n" in line for line in said)


def test_a_plain_text_has_no_lines_of_the_model() -> None:
    assert (
        spoken_by_model(plain_chunks(Letters(), "[user\nhi]\n" * 100, 64, None), Letters()) is None
    )


def test_the_scenes_of_the_package_are_relays() -> None:
    found = held_out_scenes()
    assert len(found) >= 19
    for scene in found:
        assert scene[0].content.startswith("/join #")
        assert {message.nick for message in scene} == set(NICKS.values())
