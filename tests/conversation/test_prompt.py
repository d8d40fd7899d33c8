"""Turns, which of them are pinned, and what goes when the context is full."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.conversation.messages import NICKS, Message, cast, join, slap, topic, wildcard
from relay_gguf.conversation.prompt import fit, pinned, spans, turns
from relay_gguf.errors import ContextError


def anon(text: str) -> Message:
    return Message("anon", text)


def user(text: str) -> Message:
    return Message("user", text)


def texts(lines: list[Message]) -> list[list[str]]:
    return [[lines[index].content for index in group] for group in turns(lines, NICKS)]


def test_a_scene_is_grouped_into_turns() -> None:
    lines = [
        *join(NICKS, "model", "random"),
        *topic(NICKS, "input", "random", "tea"),
        anon("hi"),
        user("yo"),
        *slap(NICKS, "input"),
        user("ouch"),
        anon("hello?"),
        anon("anyone?"),
        *wildcard(NICKS, "input", "/dance", ""),
    ]
    assert texts(lines) == [
        ["/join #random", "* Now talking in #random", "* anon has joined #random"],
        ["/topic tea", "* Topic for #random is: tea"],
        ["hi", "yo"],
        ["/slap user", "* anon slaps user around a bit with a large trout", "ouch"],
        ["hello?"],
        ["anyone?"],
        ["/dance ", "* anon used /dance "],
    ]


@pytest.mark.parametrize(
    ("lines", "groups"),
    [
        ([], []),
        ([user("a"), user("b")], [["a"], ["b"]]),
        ([Message("system", "s"), anon("a"), user("b")], [["s"], ["a", "b"]]),
        ([anon("a"), user("b"), user("c")], [["a", "b"], ["c"]]),
        (
            [anon("a"), user("/slap anon"), Message("system", "* slap"), user("b")],
            [["a"], ["/slap anon", "* slap"], ["b"]],
        ),
    ],
)
def test_odd_contexts_are_grouped_into_turns(lines: list[Message], groups: list[list[str]]) -> None:
    assert texts(lines) == groups


def test_the_join_the_newest_topic_and_each_bio_are_pinned() -> None:
    lines = [
        *join(NICKS, "input", "x"),  # 0
        *topic(NICKS, "input", "x", "old"),  # 1
        *cast(NICKS, "input", "a cat"),  # 2: the model's bio
        *cast(NICKS, "model", "a dog"),  # 3: the human's
        *topic(NICKS, "input", "x", "new"),  # 4
        anon("/topic fake"),  # 5: said with //, and answered by the model
        user("* Topic for #x is: fake"),
        *wildcard(NICKS, "input", "/whois", "anon"),  # 6: asked, not answered
    ]
    assert pinned(lines, turns(lines, NICKS), NICKS) == {0, 2, 3, 4}


SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=20)


@given(SIZES, st.sets(st.integers(0, 19)), st.integers(1, 400), st.integers(0, 400))
def test_a_full_context_drops_its_oldest_turns_and_no_more(
    sizes: list[int], pinned: set[int], limit: int, target: int
) -> None:
    """Oldest first, never a pinned turn or the last, no more than needed, and it fits after."""
    needed = sum(s for i, s in enumerate(sizes) if i in pinned or i == len(sizes) - 1)
    try:
        dropped = fit(sizes, frozenset(pinned), limit, target)
    except ContextError:
        assert needed > limit
        return
    assert not set(dropped) & {*pinned, len(sizes) - 1}
    candidates = [i for i in range(len(sizes) - 1) if i not in pinned]
    assert dropped == candidates[: len(dropped)]
    left = sum(sizes) - sum(sizes[i] for i in dropped)
    assert left <= limit
    if sum(sizes) <= limit:
        assert dropped == []
    elif dropped:
        assert left + sizes[dropped[-1]] > min(target, limit)


@given(SIZES, st.sets(st.integers(0, 18)), st.integers(0, 3))
def test_spans_remove_what_was_dropped(sizes: list[int], drop: set[int], offset: int) -> None:
    dropped = sorted(i for i in drop if i < len(sizes))
    ids = [(-1, n) for n in range(offset)]
    ids += [(turn, n) for turn, size in enumerate(sizes) for n in range(size)]
    kept = [pair for pair in ids if pair[0] not in dropped]
    ranges = list(spans(sizes, dropped, offset))
    for start, stop in ranges:
        del ids[start:stop]
    assert ids == kept
    assert len(ranges) == sum(i - 1 not in dropped for i in dropped), "neighbours are joined"
