"""The rate limit of a client."""

from __future__ import annotations

from relay_gguf.irc.network.rate_limit import Bucket


def test_the_bucket_lets_a_burst_through_and_then_so_many_a_second() -> None:
    now = 0.0
    bucket = Bucket(3, 2.0, lambda: now)
    assert [bucket.take() for _ in range(5)] == [0, 0, 0, 0.5, 1.0]
    now = 1.0
    assert bucket.take() == 0.5
    now = 100.0
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
