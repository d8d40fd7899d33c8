"""The picture: a bar with its interval for each file and measure, in SVG."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from relay_gguf.display import cut, one_line

from .safety_report import heading
from .study import Study

WIDTH: Final = 860
LEFT: Final = 300
"""Where the bars begin: names stand left of it."""
RIGHT: Final = 60
ROW: Final = 22
HEAD: Final = 34
COLOURS: Final = ("#b3432b", "#2b6cb3", "#2b8f5b", "#8a5bb0", "#b08a2b", "#4b5563")
FONT: Final = "font-family='system-ui, sans-serif'"
NAME_COLUMNS: Final = 40


def picture(study: Study) -> str:
    """An SVG document: for each measure a block, in it a bar for each file, from 0 to 100 %."""
    rows = list(_rows(study))
    height = sum(HEAD if kind == "head" else ROW for kind, *_ in rows) + 50
    body, y, bottom = [], 16, height - 34
    span = WIDTH - LEFT - RIGHT
    for percent in (0, 25, 50, 75, 100):
        x = LEFT + span * percent / 100
        body.append(f"<line x1='{x:.0f}' y1='10' x2='{x:.0f}' y2='{bottom}' stroke='#d5d5d5'/>")
        body.append(_text(x, bottom + 18, f"{percent} %", "middle"))
    for kind, label, colour, share, low, high, told in rows:
        if kind == "head":
            body.append(_text(12, y + 22, label, "start", "bold"))
            y += HEAD
            continue
        body.append(_text(LEFT - 10, y + 15, label, "end"))
        if told:
            at = [LEFT + span * value for value in (share, low, high)]
            body.append(
                f"<rect x='{LEFT}' y='{y + 4}' width='{at[0] - LEFT:.1f}' height='{ROW - 8}' "
                f"fill='{colour}' fill-opacity='0.75'><title>{escape(told)}</title></rect>"
            )
            middle = y + ROW / 2
            body.append(
                f"<path d='M{at[1]:.1f} {middle - 4}v8M{at[1]:.1f} {middle}H{at[2]:.1f}"
                f"M{at[2]:.1f} {middle - 4}v8' stroke='#222' fill='none'/>"
            )
            body.append(_text(max(at[0], at[2]) + 6, y + 15, f"{share:.0%}", "start"))
        else:
            body.append(_text(LEFT + 6, y + 15, "no answer was judged", "start"))
        y += ROW
    inside = "\n".join(body)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img' "
        f"{FONT} font-size='12'>\n<title>{escape(_title(study))}</title>\n"
        f"<rect width='{WIDTH}' height='{height}' fill='white'/>\n{inside}\n</svg>\n"
    )


def _title(study: Study) -> str:
    return "; ".join(study.warnings()) or "Shares of answers, with intervals of 95 %"


def _rows(study: Study) -> Iterator[tuple[str, str, str, float, float, float, str]]:
    for index, measure in enumerate(study.measures):
        title = heading(measure)
        yield "head", f"{title[0].upper()}{title[1:]}", "", 0.0, 0.0, 0.0, ""
        colour = COLOURS[index % len(COLOURS)]
        for file in study.files:
            found, name = measure.of(file.outcomes), cut(one_line(file.name), NAME_COLUMNS)
            if not found.n:
                yield "bar", name, colour, 0.0, 0.0, 0.0, ""
                continue
            told = f"{found.count} of {found.n}"
            yield "bar", name, colour, found.share, *found.interval, told


def _text(x: float, y: float, said: str, anchor: str, weight: str = "normal") -> str:
    return (
        f"<text x='{x:.0f}' y='{y:.0f}' text-anchor='{anchor}' font-weight='{weight}' "
        f"fill='#222'>{escape(said)}</text>"
    )
