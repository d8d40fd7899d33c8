"""The options of a run: read, checked, and as the run file keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, get_args

from relay_gguf.disk import digest
from relay_gguf.errors import SettingsError
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.gguf_file.values import text
from relay_gguf.hub.checksum import promised
from relay_gguf.sampling import SamplingParams

from .prompts.examples import read_examples
from .prompts.head import HeadStyle
from .prompts.premise import read_words
from .prompts.scene_prompt import ScenePrompts
from .prompts.starters import StarterCounts, read_starters
from .raw.run_file import BaseFacts, SynthRun
from .sampler import SceneSettings
from .stop_rules import SceneLimits

SELF: Final = "self"
"""The value of --starters by which the model writes them."""
MOST_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class SynthOptions:
    """The options on which scenes depend, as they were typed; paths of None take what we ship."""

    seed: int = 0
    head: str = "relay"
    n_examples: int = 2
    examples: Path | None = None
    block: int = 32
    starters: str = SELF
    field: str = ""
    min_zipf: float = 0.0
    words: Path | None = None
    temperature: float = 0.9
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    max_lines: int = 40
    scene_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """What a run needs beside a model: prompts, settings, what the run file keeps of them."""

    prompts: ScenePrompts
    settings: SceneSettings
    kept: Mapping[str, Any]
    starters: StarterCounts | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)


def prepare(options: SynthOptions, starters_license: str = "") -> PreparedRun:
    """Read all files that options name, and check the options.

    Args:
        options: of the run.
        starters_license: of the starters, for the card; empty if it was not told.

    Raises:
        SettingsError: an option is outside its range, or a file cannot be used.
    """
    styles: list[HeadStyle] = [style for style in get_args(HeadStyle) if style == options.head]
    if not styles:
        raise SettingsError(f"--head is {options.head!r}; it may be relay or author.")
    if not 0 <= options.n_examples <= MOST_EXAMPLES:
        raise SettingsError(f"--n-examples is {options.n_examples}; it may be 0 to 3.")
    if options.starters == SELF and (options.field or options.min_zipf):
        raise SettingsError("--field and --min-zipf are for starters in a file: --starters FILE.")
    counts, starters = None, tuple[str, ...]()
    if options.starters != SELF:
        path = Path(options.starters).expanduser()
        starters, counts = read_starters(path, options.field, min_zipf=options.min_zipf)
    pool = read_examples(options.examples)
    words = read_words(options.words)
    params = SamplingParams(
        options.temperature,
        options.top_k,
        options.top_p,
        options.min_p,
        options.repeat_penalty,
        max_tokens=options.scene_tokens,
    )
    prompts = ScenePrompts(
        words, pool, starters, styles[0], options.n_examples, options.block, options.seed
    )
    kept = asdict(options) | {
        # what was in the files, wherever they lay
        "examples": _print_of([scene.text("relay") for scene in pool]),
        "words": _print_of(asdict(words)),
        "starters": _print_of(starters) if starters else SELF,
    }
    origin = {
        "starters": Path(options.starters).name if starters else "written by the model",
        "starters_license": starters_license if starters else "",
        "n_starters": len(starters),
        "examples": options.examples.name if options.examples else "of relay-gguf, Apache-2.0",
        "words": options.words.name if options.words else "of relay-gguf, Apache-2.0",
    }
    limits = SceneLimits(options.max_lines, options.scene_tokens)
    return PreparedRun(prompts, SceneSettings(params, limits), kept, counts, origin)


def base_facts(model: GgufModel) -> BaseFacts:
    """What a GGUF file says of itself, and its SHA-256: for gigabytes that takes a while."""
    sums = [promised(shard.path) or digest(shard.path) for shard in model.shards]
    known = model.metadata
    return BaseFacts(
        model.path.name,
        sums[0] if len(sums) == 1 else sha256("".join(sums).encode()).hexdigest(),
        text(known, "general.name"),
        text(known, "general.license"),
        model.ftype,
    )


def synth_run(model: BaseFacts, prepared: PreparedRun) -> SynthRun:
    """The run of a model with options."""
    return SynthRun(model, prepared.kept, prepared.origin)


def numbers(conversations: int | None, span: str | None) -> range:
    """The numbers of the scenes of a run: the first ones, or those of a range `1000-1999`.

    Raises:
        SettingsError: both are given, neither is, or the range is not one.
    """
    if (conversations is None) == (span is None):
        raise SettingsError(
            "Give --conversations N for the scenes 0 to N-1, or --range A-B for a part of them."
        )
    if span is None:
        return range(conversations or 0)
    first, dash, last = span.partition("-")
    digits = first.isdecimal() and last.isdecimal() and first.isascii() and last.isascii()
    if not (dash and digits and int(first) <= int(last)):
        raise SettingsError(f"--range is {span!r}; it must be like 1000-1999, both included.")
    return range(int(first), int(last) + 1)


def _print_of(value: Any) -> str:
    """A fingerprint of a value of texts."""
    return sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]
