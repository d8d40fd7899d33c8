"""All filters over all scenes, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from relay_gguf.conversation.messages import ACTION
from relay_gguf.dataset.rules.phones import REGIONS
from relay_gguf.synth.raw.raw_scene import RawScene

from .assistant_talk import is_assistant
from .echo import is_echo
from .language import foreign, unknown_words
from .likelihood import outside_band
from .near_duplicates import NearDuplicates
from .private import has_link, secrets_of
from .repetition import is_repetitive
from .structure import is_thin
from .thresholds import FILTERS, Thresholds

Test = Callable[[RawScene], bool]
"""Whether a filter drops a scene."""


@dataclass(slots=True)
class Sifted:
    """What filters made of scenes.

    `dropped` counts each dropped scene once, under the first filter that found it; `found` counts
    what each filter found, whatever the others did. Likelihood and duplicates are judged among the
    scenes that all filters before them let pass. `notes` says how a filter judged.
    """

    kept: list[RawScene]
    total: int
    dropped: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    secrets: Counter[str] = field(default_factory=Counter)
    notes: dict[str, str] = field(default_factory=dict)


def sift(scenes: Iterable[RawScene], at: Thresholds, regions: Sequence[str] = REGIONS) -> Sifted:
    """Drop the scenes that a filter finds.

    Args:
        scenes: in the order in which the first of two duplicates is kept.
        at: what the filters allow.
        regions: codes of the countries whose phone numbers are known without a plus.

    Raises:
        SettingsError: a library that a filter needs is not installed.
    """
    result = Sifted([], 0)
    tests = _tests(at, regions, result)
    for scene in scenes:
        result.total += 1
        names = [name for name, test in tests.items() if test(scene)]
        result.found.update(names)
        if names:
            result.dropped[names[0]] += 1
        else:
            result.kept.append(scene)
    if "likelihood" not in at.without:
        outside = outside_band(
            [scene.logprob for scene in result.kept],
            likeliest=at.drop_likeliest,
            unlikeliest=at.drop_unlikeliest,
        )
        _drop(result, "likelihood", [place in outside for place in range(len(result.kept))])
    if "duplicates" not in at.without:
        known = NearDuplicates(at.max_similar)
        _drop(result, "duplicates", [known.add(said(scene)) for scene in result.kept])
    result.notes |= dict.fromkeys(at.without, "off")
    return result


def said(scene: RawScene) -> str:
    """What is said in a scene, without nicks."""
    return "\n".join(message.content.removeprefix(ACTION) for message in scene.talk)


def _tests(at: Thresholds, regions: Sequence[str], result: Sifted) -> dict[str, Test]:
    """The filters that judge a scene by itself, those that are on, in their order."""

    def has_secret(scene: RawScene) -> bool:
        kinds = secrets_of(scene.premise.channel, scene.talk, regions)
        result.secrets.update(kinds.keys())
        return bool(kinds)

    found: dict[str, Test] = {
        "structure": lambda scene: is_thin(
            scene.talk, min_lines=at.min_lines, min_each=at.min_each
        ),
        "repetition": lambda scene: is_repetitive(
            said(scene).splitlines(), allowed=at.max_repeated
        ),
        "echo": lambda scene: is_echo(scene.talk, max_echo=at.max_echo),
        "secrets": has_secret,
        "links": lambda scene: has_link(said(scene)),
        "assistant": lambda scene: is_assistant(said(scene)),
    }
    if "language" not in at.without:
        judge, result.notes["language"] = foreign(at.language)
        found["language"] = partial(_of_text, judge)
    if "words" not in at.without:
        rare, result.notes["words"] = unknown_words(at.language, at.min_known)
        if rare is not None:
            found["words"] = partial(_of_text, rare)
    return {name: found[name] for name in FILTERS if name in found and name not in at.without}


def _of_text(judge: Callable[[str], bool], scene: RawScene) -> bool:
    return judge(said(scene))


def _drop(result: Sifted, name: str, drops: Sequence[bool]) -> None:
    """Drop kept scenes, and count them under a filter."""
    pairs = list(zip(result.kept, drops, strict=True))
    result.kept = [scene for scene, drop in pairs if not drop]
    result.dropped[name] = result.found[name] = sum(drops)
