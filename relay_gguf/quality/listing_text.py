"""A comparison in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from relay_gguf.display import one_line, size

from .comparison import ALL, REST, SPOKEN, Comparison, MeasuredFile
from .figures import Estimate, is_clear

HEADINGS: Final = {
    SPOKEN: "What the model says (lines of `user`)",
    REST: "The rest (other people, IRC itself, who speaks next)",
    ALL: "All",
}
COLUMNS: Final = (
    "file",
    "size",
    "KL divergence",
    "same top",
    "Δp mean",
    "Δp RMS",
    "perplexity ×",
)


def comparison_lines(found: Comparison) -> Iterator[str]:
    """The tables, the files in pairs, and what error is left."""
    yield one_line(
        f"Beside {found.base.get('model', 'the base')}, on {found.text}: {found.n_positions:,} "
        f"positions in {found.n_chunks} chunks of {found.n_ctx} tokens."
    )
    for group in (SPOKEN, REST, ALL):
        those = [each for each in found.files if group in each.groups]
        if not those:
            continue
        yield ""
        if len(found.files[0].groups) > 1:
            yield f"{HEADINGS[group]}: {those[0].groups[group].n_positions:,} positions"
        yield from _table([COLUMNS, *(_row(found, each, group) for each in those)])
    yield ""
    yield from pair_lines(found)
    yield from left_lines(found)


def pair_lines(found: Comparison) -> Iterator[str]:
    """The files in pairs, each with the next smaller one."""
    for pair in found.pairs:
        if is_clear(pair.difference):
            yield one_line(
                f"{pair.worse} diverges by {_divergence(pair.difference)} more than {pair.better}."
            )
        else:
            yield one_line(
                f"{pair.worse} and {pair.better} cannot be told apart "
                f"({_divergence(pair.difference)})."
            )


def left_lines(found: Comparison) -> Iterator[str]:
    """What error is left, and what would make it less; whether something looks wrong."""
    share = found.left_error
    if share > 0:
        more = (
            "by four times the text: see --data"
            if found.is_whole_text
            else f"by --positions {4 * found.n_positions}"
        )
        yield f"The divergences are known to ± {100 * share:.1f} %. Half of that is left {more}."
    if found.is_far:
        yield (
            "So far from its base is no quantization: look whether the logits are of this model, "
            "and the files are sound (`relay-gguf inspect`)."
        )


def _row(found: Comparison, each: MeasuredFile, group: str) -> tuple[str, ...]:
    seen = each.groups[group]
    return (
        one_line(found.label(each)),
        size(each.file.model.size),
        _divergence(seen.kld),
        _percent(seen.same_top),
        _percent(seen.delta, signed=True),
        _percent(seen.delta_rms),
        f"{seen.ratio.value:.3f} ± {seen.ratio.error:.3f}",
    )


def _divergence(estimate: Estimate) -> str:
    value = round(estimate.value, 5) + 0.0  # and not -0.00000
    return f"{value:.5f} ± {estimate.error:.5f}"


def _percent(estimate: Estimate, *, signed: bool = False) -> str:
    value, error = round(100 * estimate.value, 2) + 0.0, 100 * estimate.error
    return f"{value:{'+' if signed else ''}.2f} ± {error:.2f} %"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *right]).rstrip()
