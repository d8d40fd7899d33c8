"""A cache of its own for each reply, on a made-up model: nobody waits for another one's cells."""

from __future__ import annotations

from slot_model import expected, made, reason, request, tally, tokens, told


def test_apart_each_reply_has_a_whole_context() -> None:
    """Nobody waits for another one's cells, nor is read again; even if all contexts are full."""
    slots, model = made(4, 0, n_ctx=64, unified=False, endless=True)
    asked = [slots.submit(request(*[own] * 40, n=90, temperature=2.0)) for own in range(1, 5)]

    steps = told(slots)

    assert [reason(steps[handle]) for handle in asked] == ["context"] * 4
    assert [len(tokens(steps[handle])) for handle in asked] == [25] * 4
    assert tally(model.evaluated)["read"] == 4 * 39
    assert model.n_refused == 0


def test_apart_what_has_no_slot_any_more_waits_in_ram() -> None:
    """Three conversations in turns in two slots: only what is new is read."""
    slots, model = made(2, 0, n_ctx=640, unified=False, room=9)
    prompts = [[own, *range(1, 49)] * 2 for own in (7, 8, 9)]
    for prompt in prompts:
        slots.submit(request(*prompt, n=1))
        told(slots)
    before = len(model.evaluated)

    for prompt in prompts * 2:
        handle = slots.submit(request(*prompt, 3, 3, n=3))
        assert tokens(told(slots)[handle]) == expected(request(*prompt, 3, 3, n=3), model.n_ctx)

    assert tally(model.evaluated[before:])["read"] <= 6 * 2


def test_apart_little_is_read_again_sooner_than_copied() -> None:
    slots, model = made(2, 0, n_ctx=640, unified=False)
    for own in (7, 8):
        slots.submit(request(*range(1, 20), *[own] * 30, n=1))
        told(slots)

    assert tally(model.evaluated)["read"] == 2 * 48
