"""Many replies at once on a made-up model: nobody's tokens mix, nothing is read twice or leaks."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise

import pytest
from slot_model import expected, made, read, reason, request, run, tally, tokens, told

from relay_gguf.engine import Finished, Step, Token
from relay_gguf.errors import EngineError
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.sampling import SamplingParams


def drawn(rng: random.Random) -> Continuation:
    """A request as people make them: some begin alike, some are long, some draw wildly."""
    shared = [1, 2, 3] * rng.choice([0, 5, 20])
    own = [rng.randrange(1, 50) for _ in range(rng.choice([1, 3, 20, 70]))]
    params = SamplingParams(
        temperature=rng.choice([0.0, 0.0, 0.7, 3.0]),
        top_k=rng.choice([0, 5, 40]),
        top_p=rng.choice([0.8, 1.0]),
        min_p=rng.choice([0.0, 0.1]),
        max_tokens=rng.choice([1, 5, 20]),
        seed=rng.getrandbits(32),
    )
    return Continuation((*shared, *own), params, ends=frozenset([rng.randrange(1, 50)]))


@pytest.mark.parametrize(
    "unified", [True, pytest.param(False, marks=pytest.mark.thorough)], ids=["pool", "apart"]
)
def test_a_thousand_replies_in_16_slots_with_joins_cancels_and_leaves(*, unified: bool) -> None:
    """Each reply is that of a single engine, whatever its neighbours do, and no cell leaks."""
    slots, model = made(16, 700, n_ctx=200, unified=unified, room=20)
    rng = random.Random(5)
    asked: dict[int, Continuation] = {}
    got: dict[int, list[Step]] = defaultdict(list)
    cancelled = set()
    while len(asked) < 1000 or slots.n_live:
        for _ in range(rng.randrange(4)):
            if len(asked) < 1000:
                wanted = drawn(rng)
                asked[slots.submit(wanted)] = wanted
        if rng.random() < 0.1:
            handle = rng.choice(list(asked))
            slots.cancel(handle)
            cancelled.add(handle)
        for event in slots.step():
            got[event.handle].append(event.step)
        if slots.n_live % 4 == 0:
            assert slots.cells.free == model.n_cells - model.n_used
            for seq, held in enumerate(model.seqs):
                assert slots.cells.ids(seq) == [token for _, token in held]

    for handle, wanted in asked.items():
        whole = expected(wanted, model.n_ctx)
        if reason(got[handle]) == "cancelled":
            assert handle in cancelled
            assert tokens(got[handle]) == whole[: len(tokens(got[handle]))]
        else:
            assert tokens(got[handle]) == whole
    assert sum(reason(steps) != "cancelled" for steps in got.values()) > 800
    assert model.n_refused == 0


@pytest.mark.parametrize("unified", [True, False], ids=["pool", "apart"])
def test_a_shared_beginning_is_read_once(*, unified: bool) -> None:
    slots, model = made(8, 4096, unified=unified)
    prefix = tuple(1 + i % 40 for i in range(500))
    asked = [slots.submit(request(*prefix, 41, own, seed=own)) for own in range(1, 9)]

    steps = told(slots)

    # all of it but its last token once; that, and those of the others, are evaluated as a reply's
    assert tally(model.evaluated)["read"] == 501 + 7 * 0 + sum(
        read(steps[h])[0] - 1 for h in asked[1:]
    )
    assert [read(steps[handle]) for handle in asked] == [(502, 0), *[(1, 501)] * 7]


@pytest.mark.parametrize("unified", [True, False], ids=["pool", "apart"])
def test_alternatives_share_all_of_their_prompt(*, unified: bool) -> None:
    slots, model = made(4, 4096, unified=unified)
    for seed in range(4):
        slots.submit(request(*range(1, 40), *range(1, 40), seed=seed, temperature=2.0))

    steps = told(slots)

    assert tally(model.evaluated)["read"] == 77
    assert len({tuple(tokens(one)) for one in steps.values()}) > 1


def test_the_next_turn_reads_only_what_is_new() -> None:
    slots, model = made(2, 4096)
    first = request(*range(1, 50), *range(1, 50))
    handle = slots.submit(first)
    reply = tokens(told(slots)[handle])
    before = len(model.evaluated)

    handle = slots.submit(request(*first.prompt, *reply, 7, 8, 9))

    assert read(told(slots)[handle])[0] in (4, 5)
    assert tally(model.evaluated[before:])["read"] <= 4


def test_another_conversation_leaves_the_first_ones_cells() -> None:
    slots, model = made(2, 4096)
    one, two = list(range(1, 50)) * 2, list(range(49, 0, -1)) * 2
    for prompt in (one, two):
        slots.submit(request(*prompt, n=1))
        told(slots)
    before = len(model.evaluated)

    for prompt in (one, two, one):
        slots.submit(request(*prompt, 3, n=1))
        told(slots)

    assert tally(model.evaluated[before:])["read"] == 0


def test_out_of_cells_the_youngest_waits_and_all_end() -> None:
    slots, model = made(4, 128)
    wanted = [request(*[own] * 20, seed=own, n=60, temperature=2.0) for own in range(1, 5)]
    asked = [slots.submit(one) for one in wanted]

    steps = told(slots)

    for handle, one in zip(asked, wanted, strict=True):
        assert tokens(steps[handle]) == expected(one, model.n_ctx)
        assert reason(steps[handle]) in ("length", "stop")
    assert model.n_refused == 0


def test_the_oldest_is_never_put_off() -> None:
    slots, _ = made(3, 100, endless=True)
    asked = [slots.submit(request(*[own] * 30, n=60, temperature=2.0)) for own in (1, 2, 3)]

    steps = list(run(slots))

    ends = [event.handle for event in steps if isinstance(event.step, Finished)]
    assert ends == asked


def test_two_prompts_that_fill_the_cache_do_not_block_each_other() -> None:
    slots, _ = made(2, 100)
    for own in (1, 2):
        slots.submit(request(*[own] * 90, n=5, temperature=2.0))

    assert all(reason(steps) in ("length", "stop") for steps in told(slots).values())


def test_a_long_text_delays_a_running_reply_by_less_than_a_fifth() -> None:
    def seconds(*, beside: bool) -> float:
        slots, model = made(2, 8192, endless=True)
        one = slots.submit(request(1, 2, 3, n=100, temperature=2.0))
        while not any(isinstance(event.step, Token) for event in slots.step()):
            pass
        began = model.now
        if beside:
            slots.submit(request(*[9, 8, 7] * 1000, n=5))
        for event in run(slots):
            if event.handle == one and isinstance(event.step, Finished):
                return model.now - began
        raise AssertionError

    alone = seconds(beside=False)
    assert alone * 1.01 < seconds(beside=True) < alone * 1.2


def test_a_message_is_not_kept_waiting_by_a_long_text() -> None:
    slots, _ = made(3, 8192)
    long = slots.submit(request(*[9, 8, 7] * 1000, n=3))
    slots.step()
    short = slots.submit(request(*[5] * 50, n=3))

    steps = list(run(slots))

    ends = [event.handle for event in steps if isinstance(event.step, Finished)]
    assert ends == [short, long]


@pytest.mark.parametrize("prompt", [(), tuple(range(1, 33))])
def test_a_prompt_that_does_not_fit_is_refused(prompt: tuple[int, ...]) -> None:
    slots, _ = made(2, 64, n_ctx=32)
    with pytest.raises(EngineError, match=f"{len(prompt)} tokens, but n_ctx is 32"):
        slots.submit(Continuation(prompt))


def test_until_ends_a_reply_with_the_token_that_it_was_given() -> None:
    slots, model = made(2, 640)
    wanted = request(1, 2, 3, n=30, temperature=2.0)
    whole = expected(wanted, model.n_ctx)
    handle = slots.submit(Continuation(wanted.prompt, wanted.params, until=lambda t: t == whole[2]))

    steps = told(slots)[handle]

    assert tokens(steps) == whole[: whole.index(whole[2]) + 1]
    assert reason(steps) == "stop"


def test_a_full_context_ends_a_reply() -> None:
    slots, _ = made(2, 640, n_ctx=20, endless=True)
    handle = slots.submit(request(*range(1, 18), n=30, temperature=2.0))

    steps = told(slots)[handle]

    assert reason(steps) == "context"
    assert len(tokens(steps)) == 4  # three have cells, and one more needs none


def test_a_failure_ends_all_and_leaves_empty_slots() -> None:
    slots, model = made(2, 640)
    slots.submit(request(1, 2, 3))
    slots.step()

    def fail(*_: object) -> int:
        raise EngineError("broken")

    model.evaluate, works = fail, model.evaluate  # type: ignore[method-assign, assignment]
    with pytest.raises(EngineError, match="broken"):
        slots.step()
    model.evaluate = works  # type: ignore[method-assign]

    assert slots.n_live == 0
    assert model.n_used == 0
    handle = slots.submit(request(1, 2, 3))
    assert tokens(told(slots)[handle]) == expected(request(1, 2, 3), model.n_ctx)


def test_tokens_come_in_the_order_of_steps() -> None:
    """No reply is passed over: between two of its tokens each running one has one."""
    slots, _ = made(4, 640)
    for own in range(1, 5):
        slots.submit(request(own, n=20, seed=own, temperature=2.0))
    order = [event.handle for event in run(slots) if isinstance(event.step, Token)]
    for handle in set(order):
        places = [place for place, one in enumerate(order) if one == handle]
        assert all(b - a <= 4 for a, b in pairwise(places))


def test_what_is_forgotten_moves_up_what_follows() -> None:
    slots, model = made(3, 640)
    for own in (20, 30):  # they begin alike
        slots.submit(request(1, 2, *range(own, own + 20), n=1))
    told(slots)
    (seq,) = [seq for seq in range(3) if 25 in slots.cells.ids(seq)]
    known = list(slots.cells.ids(seq))

    assert slots.forget(known[:10], 4)

    handle = slots.submit(request(*known[:4], *known[10:], 7, n=3))
    steps = told(slots)[handle]
    assert read(steps) == (1, len(known) - 6)
    assert tokens(steps) == expected(request(*known[:4], *known[10:], 7, n=3), model.n_ctx)
    assert model.n_used == slots.cells.n_cells - slots.cells.free


def test_what_another_sequence_has_too_is_not_moved() -> None:
    """In a pool; apart each has its own."""
    for unified in (True, False):
        slots, _ = made(2, 640, unified=unified)
        for own in (40, 41):
            slots.submit(request(*[*range(1, 40), *range(1, 10)], own, 5, n=1))
        told(slots)

        assert slots.forget(list(range(1, 10)), 3) == (not unified)
        assert not slots.forget([9, 9], 1), "nobody has that"
