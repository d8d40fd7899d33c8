"""The report of a data set: what was kept, how varied it is, how scenes end, scenes to read."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median
from typing import Any, Final

from relay_gguf.conversation.messages import NICKS

from .filters.near_duplicates import grams_of, jaccard
from .filters.sieve import Sifted, said
from .filters.thresholds import FILTERS
from .raw.raw_scene import RawScene
from .stop_rules import NATURAL
from .words import words_of

PAIRS: Final = 5000
"""Pairs of scenes that are compared for their similarity, at most."""
TO_READ: Final = 20
STOCK: Final = 10
"""Replies that are listed because they come most often."""


@dataclass(frozen=True, slots=True)
class Variety:
    """How varied scenes are.

    `distinct` has the different n-grams of words as a share of all of them, for n of 1, 2, 3 (Li et
    al. 2016); more scenes have less of it. `similarity` is the mean share of words that two scenes
    have in common. `stock` are the replies that come most often, with their number.
    """

    scenes: int
    messages: float  # of a scene, on average
    reply_words: float  # of a reply, on average
    median_words: float
    distinct: tuple[float, float, float]
    similarity: float
    stock: tuple[tuple[str, int], ...]


def variety(scenes: Sequence[RawScene]) -> Variety:
    """How varied scenes are; all 0 without any."""
    talks = [scene.talk for scene in scenes]
    replies = [m.content for talk in talks for m in talk if m.nick == NICKS["model"]]
    sizes = [len(words_of(reply)) for reply in replies] or [0]
    texts = [words_of(said(scene)) for scene in scenes]
    stock = Counter(" ".join(reply.casefold().split()) for reply in replies)
    return Variety(
        len(scenes),
        fmean([len(talk) for talk in talks] or [0]),
        fmean(sizes),
        median(sizes),
        (_distinct(texts, 1), _distinct(texts, 2), _distinct(texts, 3)),
        _similarity(scenes),
        tuple((text, n) for text, n in stock.most_common(STOCK) if n > 1),
    )


def as_json(result: Sifted, found: Variety) -> dict[str, Any]:
    """Counts and variety, as JSON has them."""
    return {
        "scenes": result.total,
        "kept": len(result.kept),
        "dropped": {name: result.dropped[name] for name in FILTERS},
        "found": {name: result.found[name] for name in FILTERS},
        "secrets": dict(result.secrets),
        "notes": result.notes,
        "ends": dict(Counter(scene.end for scene in result.kept)),
        "messages": round(found.messages, 2),
        "reply_words": round(found.reply_words, 2),
        "distinct": [round(share, 4) for share in found.distinct],
        "similarity": round(found.similarity, 4),
    }


def counts_table(result: Sifted) -> list[tuple[str, str, str, str]]:
    """Rows of a filter, the scenes that it dropped and found, a note; a sum at either end."""
    rows = [("sampled", f"{result.total:,}", "", "")]
    for name in FILTERS:
        note = result.notes.get(name, "")
        if name == "secrets" and result.secrets:
            note = ", ".join(f"{kind} {n}" for kind, n in sorted(result.secrets.items()))
        off = name in result.notes and note.startswith(("off", "not run"))
        dropped, found = f"{result.dropped[name]:,}", f"{result.found[name]:,}"
        rows.append((name, "" if off else dropped, "" if off else found, note))
    share = len(result.kept) / result.total if result.total else 0.0
    rows.append(("kept", f"{len(result.kept):,}", "", f"{share:.1%}"))
    return rows


def report(name: str, result: Sifted, found: Variety, ends: Mapping[str, int], seed: int) -> str:
    """The report in Markdown.

    Args:
        name: of the data set.
        result: what filters made of the scenes.
        found: of the scenes that were kept.
        ends: how all scenes ended that were sampled, and how often.
        seed: chooses the scenes to read.
    """
    return "\n".join([*_numbers(name, result, found), *_ends(result, ends), *_read(result, seed)])


def _numbers(name: str, result: Sifted, found: Variety) -> Iterator[str]:
    yield f"# {name}: what came of it\n"
    yield "| filter | dropped | found | |\n|---|---|---|---|"
    for row in counts_table(result):
        yield f"| {' | '.join(row)} |"
    yield (
        "\nA scene that several filters find is dropped by the first of them. Likelihood and "
        "duplicates are judged among the scenes that the others let pass.\n"
    )
    one, two, three = found.distinct
    yield f"""## How varied it is

| | |
|---|---|
| messages of a scene | {found.messages:.1f} |
| words of a reply | {found.reply_words:.1f} on average, median {found.median_words:g} |
| distinct words, pairs, triples | {one:.3f}, {two:.3f}, {three:.3f} |
| words that two scenes have in common | {found.similarity:.1%} |
"""
    if found.stock:
        yield "Replies that come most often:\n"
        yield from (f"- {n} times `{_code(text)}`" for text, n in found.stock)
        yield ""


def _ends(result: Sifted, ends: Mapping[str, int]) -> Iterator[str]:
    kept = Counter(scene.end for scene in result.kept)
    yield "## How scenes end\n\n| end | sampled | kept | |\n|---|---|---|---|"
    for end, count in sorted(ends.items(), key=lambda pair: (-pair[1], pair[0])):
        whose = "the model's" if end in NATURAL else "a rule"
        yield f"| {end} | {count:,} | {kept[end]:,} | {whose} |"
    yield ""


def _read(result: Sifted, seed: int) -> Iterator[str]:
    """Scenes drawn at random; indented, since a model may write any mark of Markdown."""
    chosen = random.Random(seed).sample(result.kept, min(TO_READ, len(result.kept)))
    yield f"## {len(chosen)} scenes to read, drawn at random\n"
    for scene in sorted(chosen, key=lambda scene: scene.number):
        about = " / ".join(
            filter(None, [f"#{scene.premise.channel}", scene.premise.topic, scene.premise.bio])
        )
        yield f"Scene {scene.number}: {_plain(about)}\n"
        yield from (f"    {line}" for line in scene.lines)
        yield ""


def _distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    grams = [gram for words in texts for gram in zip(*(words[k:] for k in range(n)), strict=False)]
    return len(set(grams)) / len(grams) if grams else 0.0


def _similarity(scenes: Sequence[RawScene]) -> float:
    """The mean Jaccard index of the words of two scenes, over at most `PAIRS` random pairs."""
    words = [grams_of(said(scene), 1) for scene in scenes]
    rng, places = random.Random(0), range(len(words))
    if len(words) * (len(words) - 1) // 2 <= PAIRS:
        pairs = list(combinations(places, 2))
    else:
        pairs = [(one, other) for one, other in (rng.sample(places, 2) for _ in range(PAIRS))]
    return fmean([jaccard(words[one], words[other]) for one, other in pairs] or [0.0])


def _code(text: str) -> str:
    return text.replace("`", "'")


def _plain(text: str) -> str:
    """Text without signs that Markdown gives a meaning."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in text)
