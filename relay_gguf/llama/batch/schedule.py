"""How much of the waiting prompts is read in a step, beside the replies that are running.

A step that reads takes longer, and every running reply waits for it. So what reading adds to the
steps is kept to a share of the time that the replies take, and a piece to what a moment allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay_gguf.fit.plan import N_BATCH

BESIDE: Final = 0.12
"""Seconds that reading a long prompt may add to a second of replies."""
SHORT: Final = 256
"""Tokens of a prompt that is read as soon as replies allow: a message, not a book."""
SOONER: Final = 4.0
"""A message's share of the time, beside a reply's: a slot that does not write is worth little."""
MOMENT: Final = 0.1
"""Seconds that one piece may make running replies wait."""
ALONE: Final = 0.3
"""Seconds that a piece may take while no reply is running: so long a cancel or newcomer waits."""
LONGEST: Final = 1.5
"""Seconds of such a piece where larger ones are quicker a token: a slow model's weights alone take
longer than `ALONE`, in whichever pieces a prompt is read."""
QUICKER: Final = 1.25
"""How much quicker a token of a piece of twice the size must be for that."""
LEAST: Final = 8
"""Tokens of a piece at least, unless the prompt ends; what is less is hardly faster."""


class ReadingShare:
    """Tells how many tokens of prompts the next step may read; learns from the last ones."""

    def __init__(self) -> None:
        """Begin without knowing how fast anything is."""
        self._plain: dict[int, float] = {}  # seconds of a step that only replies, by their number
        self._each = 0.0  # seconds that a token of a prompt adds to a step
        self._alone: dict[int, float] = {}  # tokens a second while no reply runs, by size of piece
        self._debt = 0.0  # seconds of replies that reading still owes them

    def budget(self, n_running: int, lefts: Sequence[int], *, crowded: bool = False) -> int:
        """Tokens of prompts for the next step.

        Args:
            n_running: the replies that are running.
            lefts: tokens that each prompt has left to read.
            crowded: somebody waits for a slot; any prompt is then read like a message, for whoever
                waits gains by all that is done sooner.
        """
        if not lefts:
            return 0
        if not n_running:
            return self._size_alone()
        most = min(N_BATCH, int(MOMENT / self._each)) if self._each else LEAST
        # Powers of two, so that most runs cut a prompt alike: results depend on that a little.
        size = max(LEAST, 1 << max(0, most.bit_length() - 1))
        # A message is read at once and paid for afterwards, a long text when it has been paid for.
        at_once = crowded or min(lefts) <= SHORT
        ahead = 0.0 if at_once else min(MOMENT, self._each * size)
        return 0 if self._debt > -ahead else size

    @property
    def best_rate(self) -> float:
        """Tokens a second that were read while no reply was running; 0 while none were."""
        return max(self._alone.values(), default=0.0)

    def took(
        self,
        n_running: int,
        lefts: Sequence[int],
        n_read: int,
        seconds: float,
        *,
        crowded: bool = False,
    ) -> None:
        """Take in how long a step was that read `n_read` tokens of prompts."""
        allowed = _allowed(n_running, lefts, crowded=crowded)
        if not n_read:
            known = self._plain.get(n_running, seconds)
            self._plain[n_running] = known + (seconds - known) / 4
            if n_running and lefts:
                self._debt = max(-MOMENT, self._debt - seconds * allowed)
            return
        if not n_running and seconds:
            known = self._alone.get(n_read, n_read / seconds)
            self._alone[n_read] = known + (n_read / seconds - known) / 2
        plain = min(seconds, self._usual(n_running))
        added = (seconds - plain) / n_read
        if n_read >= LEAST or not self._each:  # the end of a prompt tells little
            self._each += (added - self._each) / 2 if self._each else added
        self._debt += (seconds - plain) - plain * allowed
        self._debt = max(-MOMENT, self._debt) if n_running else 0.0

    def _size_alone(self) -> int:
        """Tokens of a piece while no reply is running; sizes that are not known yet are tried."""
        size = LEAST
        while size in self._alone and 2 * size <= N_BATCH:
            rate, twice = self._alone[size], self._alone.get(2 * size)
            seconds = 2 * size / (twice or rate)
            pays = twice is None or twice >= QUICKER * rate
            if seconds > ALONE and not (pays and seconds <= LONGEST):
                break
            size *= 2
        return size

    def _usual(self, n_running: int) -> float:
        """Seconds of a step with so many replies, from the nearest number that is known."""
        if not n_running or not self._plain:
            return 0.0
        return self._plain[min(self._plain, key=lambda n: abs(n - n_running))]


def _allowed(n_running: int, lefts: Sequence[int], *, crowded: bool) -> float:
    """Seconds of reading for a second of running replies.

    Whoever reads a message has `SOONER` times the time of one who is answered; prompts, however
    long, have as much as one who is answered, as far as there are more of them than replies.
    """
    if not n_running:
        return 1.0
    n_short = sum(crowded or left <= SHORT for left in lefts)
    return max(BESIDE, SOONER * n_short / n_running, (len(lefts) - n_running) / n_running)


def pieces(lefts: Sequence[int], budget: int) -> list[int]:
    """How many tokens of each prompt a step reads: the first ones first, as far as they go."""
    given = []
    for left in lefts:
        given.append(min(left, budget))
        budget -= given[-1]
    return given
