"""What counts as a loop, and where it is noticed."""

from __future__ import annotations

import pytest

from relay_gguf.conversation.replies.loop_guard import LoopGuard

PROSE = (
    "It was a dark night, and the keeper of the light went up the stairs once more. "
    "He did not know who had come, nor why the dog was silent; he only heard the sea. "
    "It was late when he came down again, and by then the boat, the men and the dog had gone. "
) + " ".join(f"In the year {year} the light was out {year}." for year in range(20))


def noticed(text: str, limit: int = 4, size: int = 3) -> tuple[str, str]:
    """What was read when a loop was noticed, and the passage; both empty if none was."""
    guard = LoopGuard(limit)
    for end in range(0, len(text), size):
        if passage := guard.add(text[end : end + size]):
            return text[: end + size], passage
    return "", ""


@pytest.mark.parametrize("size", [3, 50])
@pytest.mark.parametrize(
    ("text", "passage"),
    [
        ("yes\n" * 10, "yes"),
        ("are you there?\nyes\n" * 10, "are you there?"),
        ("I will be there soon, my friend. " * 10, "I will be there soon, my"),
        ("ha" * 200, "ha"),
        ("\u54c8" * 200, "\u54c8"),
        ("no, I said. " * 40, None),
    ],
)
def test_a_loop_is_noticed_soon(text: str, passage: str | None, size: int) -> None:
    read, found = noticed(PROSE + "\n" + text, size=size)
    assert len(PROSE) < len(read) < len(PROSE) + 200
    assert found
    assert size > 3 or passage is None or found in 2 * passage  # from any of its letters


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "ha ha ha ha, no no no!!!!!!!!!!",
        "yes\nyes\nyes\nno\n",
        "\n" * 500,
        " " * 500,
        "".join(f"{n}. a line of a list\n" for n in range(30)),
        "-" * 80 + "\n",
    ],
)
def test_what_is_not_a_loop(text: str) -> None:
    assert noticed(text) == ("", "")


def test_the_limit_is_how_often_a_passage_stands_there() -> None:
    for limit in (2, 3, 7):
        read, _ = noticed("one line\nanother\n" * 20, limit, size=1)
        assert read.count("one line\n") == limit
