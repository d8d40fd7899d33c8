"""The prompt of each numbered scene: the same number gives the same prompt on any machine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from relay_gguf.conversation.messages import NICKS
from relay_gguf.sampling import SEED_BITS

from .examples import Example, draw
from .head import HeadStyle, head_lines
from .premise import Premise, PremiseWords


@dataclass(frozen=True, slots=True)
class ScenePrompt:
    """A scene before it is sampled.

    `starter` is what anon says first, empty if the model is to write that too; `text` ends with the
    nick of who speaks next, without a space.
    """

    number: int
    seed: int
    premise: Premise
    starter: str
    text: str

    @property
    def opens(self) -> str:
        """What the first sampled line begins with, which is in the prompt."""
        return f"<{NICKS['model' if self.starter else 'input']}>"


@dataclass(frozen=True, slots=True)
class ScenePrompts:
    """What the prompts of a run are made of.

    Scenes whose numbers lie in the same `block` have the same examples, which are read once for all
    of them.
    """

    words: PremiseWords
    pool: Sequence[Example]
    starters: Sequence[str]
    style: HeadStyle
    n_examples: int
    block: int
    seed: int

    def prompt(self, number: int) -> ScenePrompt:
        """The prompt of a scene."""
        rng = random.Random(drawn_seed(self.seed, "premise", number))
        premise = self.words.premise(rng)
        starter = self._starter(number)
        who = NICKS["input"]
        lines = [*head_lines(premise, self.style), *([f"<{who}> {starter}"] if starter else [])]
        head = "".join(f"{line}\n" for line in lines)
        scene = ScenePrompt(number, drawn_seed(self.seed, "scene", number), premise, starter, "")
        text = f"{self.examples(number)}{head}{scene.opens}"
        return ScenePrompt(number, scene.seed, premise, starter, text)

    def examples(self, number: int) -> str:
        """The example scenes before a scene, each with an empty line behind it."""
        rng = random.Random(drawn_seed(self.seed, "examples", number // self.block))
        found = draw(self.pool, self.n_examples, rng)
        return "".join(f"{example.text(self.style)}\n" for example in found)

    def _starter(self, number: int) -> str:
        """Each starter once before any comes again, in an order that the seed draws each time."""
        if not self.starters:
            return ""
        turn, place = divmod(number, len(self.starters))
        rng = random.Random(drawn_seed(self.seed, "starters", turn))
        return self.starters[_shuffled(place, len(self.starters), rng)]


def drawn_seed(seed: int, what: str, number: int) -> int:
    """A seed for something with a number, of a run's seed."""
    data = f"{seed}:{what}:{number}".encode()
    return int.from_bytes(blake2b(data, digest_size=SEED_BITS // 8).digest(), "big")


def _shuffled(place: int, size: int, rng: random.Random) -> int:
    """A place in a random order of `size` things, without making the order.

    A Feistel network permutes the numbers below a power of four; those from `size` on are sent
    through again (cycle walking).
    """
    half = max(1, (max(1, size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    keys = [rng.getrandbits(32) for _ in range(4)]
    while True:
        left, right = place >> half, place & mask
        for key in keys:
            mixed = blake2b(f"{key}:{right}".encode(), digest_size=4).digest()
            left, right = right, left ^ (int.from_bytes(mixed, "big") & mask)
        place = left << half | right
        if place < size:
            return place
