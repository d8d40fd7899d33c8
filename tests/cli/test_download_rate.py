"""How fast the hub sends, and how long a download will take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Handler, serving

from relay_gguf.cli.choice import minutes
from relay_gguf.hub import rate
from relay_gguf.hub.api import UnreachableError
from relay_gguf.hub.rate import download_rate, rate_within


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    files = {"big.gguf": bytes(1 << 20), "empty.gguf": b""}
    with serving({"o/r": files}, monkeypatch, str(tmp_path / "hf")) as served:
        yield served


def test_the_rate_of_a_download(hub: type[Handler], tmp_path: Path) -> None:
    hub.mood.delay = 0.001
    assert (download_rate("o/r", "big.gguf") or 0) > 0
    assert hub.asked == ["0-7999999"]
    assert not (tmp_path / "hf").exists(), "the cache is as it was"


def test_no_more_is_read_than_is_needed(hub: type[Handler]) -> None:
    assert download_rate("o/r", "big.gguf", n_bytes=100_000)
    assert hub.asked == ["0-99999"]
    assert hub.sent[-1] == 100_000
    hub.mood.ranges = False  # a server that sends all
    assert download_rate("o/r", "big.gguf", n_bytes=100_000)


def test_rates_that_cannot_be_known(hub: type[Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    assert download_rate("o/r", "other.gguf") is None
    assert download_rate("o/gated", "big.gguf") is None
    assert download_rate("o/r", "empty.gguf") is None
    hub.mood.statuses = [503]
    assert download_rate("o/r", "big.gguf") is None
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert download_rate("o/r", "big.gguf") is None
    assert hub.asked == []


def test_a_hub_that_does_not_answer() -> None:
    over = threading.Event()

    def waits() -> Iterator[tuple[float, int]]:
        over.wait(30)
        raise UnreachableError("too late")
        yield 0.0, 0

    try:
        assert rate_within(0.05, waits) is None
    finally:
        over.set()


@pytest.mark.parametrize(
    ("arriving", "expected"),
    [
        ([(0, 0)], None),
        ([(0, 0), (2, 1_000)], 500),
        ([(0, 0), (1, 100), (2, 500), (3, 1_000), (4, 2_000)], 750),
        ([(0, 0), (1, 100), (3, 1_000), (4, 3_000)], 2_000),
    ],
)
def test_the_slow_beginning_does_not_count(
    arriving: list[tuple[float, int]], expected: float | None
) -> None:
    assert rate._rate(iter(arriving)) == expected


@pytest.mark.parametrize(
    ("n_bytes", "speed", "said"),
    [(10**9, None, "?"), (10**9, 1e9, "1 min"), (4_790_000_000, 1e6, "80 min"), (60, 0.0, "?")],
)
def test_a_download_is_told_in_minutes(n_bytes: int, speed: float | None, said: str) -> None:
    assert minutes(n_bytes, speed) == said
