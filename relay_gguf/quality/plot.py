"""Size against divergence, drawn by matplotlib, which the extra `plots` brings."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from relay_gguf.errors import QualityError, SettingsError

from .comparison import ALL, SPOKEN, Comparison

ENDINGS: Final = (".svg", ".png")
MOST_LABEL: Final = 24
"""Letters of a file's name beside its point, where its type does not tell it apart: the last."""


def check_plots(paths: list[Path]) -> None:
    """Refuse plots that could not be drawn, before anything is measured.

    Raises:
        SettingsError: matplotlib is missing, or a name does not end with .svg or .png.
    """
    for path in paths:
        if path.suffix.lower() not in ENDINGS:
            raise SettingsError(f"--plot is {path}; it should end with {' or '.join(ENDINGS)}.")
        if not path.absolute().parent.is_dir():
            raise SettingsError(f"There is no folder {path.parent} for {path.name}. Make it first.")
    if paths and find_spec("matplotlib") is None:
        raise SettingsError(
            "A plot needs matplotlib, which is not installed: pip install 'relay-gguf[plots]'. "
            "Without --plot it is not needed."
        )


def draw(found: Comparison, path: Path) -> None:
    """Draw a comparison into an SVG or PNG file: size to the right, divergence upwards.

    Raises:
        QualityError: the file cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    group = SPOKEN if all(SPOKEN in each.groups for each in found.files) else ALL
    whose = "of the model's lines" if group == SPOKEN else "of all positions"
    # The same comparison gives the same bytes: no date, no random ids; letters stay letters.
    with rc_context({"svg.hashsalt": "relay-gguf", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(7.2, 4.5), layout="constrained")
        axes = figure.add_subplot()
        sizes = [each.file.model.size / 1e9 for each in found.files]
        klds = [each.groups[group].kld for each in found.files]
        axes.errorbar(
            sizes,
            [kld.value for kld in klds],
            yerr=[kld.error for kld in klds],
            fmt="o-",
            linewidth=1,
            capsize=3,
        )
        for each, x, kld in zip(found.files, sizes, klds, strict=True):
            label = found.label(each).removesuffix(".gguf")[-MOST_LABEL:]
            axes.annotate(
                label, (x, kld.value), textcoords="offset points", xytext=(6, 5), parse_math=False
            )
        if all(kld.value > 0 for kld in klds):
            axes.set_yscale("log")
        axes.margins(x=0.12, y=0.12)
        axes.set_xlabel("size in GB")
        axes.set_ylabel(f"KL divergence from the base, nats ({whose})")
        base = str(found.base.get("model", "the base"))
        axes.set_title(f"{base}: size and divergence", fontsize=11, parse_math=False)
        axes.grid(alpha=0.3, which="both")
        kind = path.suffix.lower()[1:]
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        try:
            figure.savefig(path, format=kind, dpi=150, metadata=metadata)
        except OSError as error:
            raise QualityError(f"Cannot write {path}: {error.strerror or error}.") from error
