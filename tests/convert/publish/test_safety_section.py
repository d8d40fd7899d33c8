"""The model card takes up the section that `relay-gguf safety` wrote, and nobody else's file."""

from __future__ import annotations

from pathlib import Path

from relay_gguf.convert.publish.folder import write_folder
from relay_gguf.convert.publish.safety_section import MARK, NAME
from relay_gguf.safety.figures.safety_report import CARD_MARK

SECTION = f"{CARD_MARK}\n\n## Safety\n\n| file | refusal |\n| --- | --- |\n| m | 3/4 é |\n"


def test_the_card_takes_up_the_section(ready: Path) -> None:
    assert CARD_MARK == MARK
    without = (ready / "README.md").read_text("utf-8")
    (ready / NAME).write_text(SECTION, "utf-8")
    write_folder(ready)
    page = (ready / "README.md").read_text("utf-8")
    section = SECTION.removeprefix(MARK).strip()
    assert page == without.replace("\n## How they", f"\n{section}\n\n## How they", 1)
    assert "| m | 3/4 é |\n\n## How they were made\n" in page
    (ready / NAME).unlink()
    write_folder(ready)
    assert (ready / "README.md").read_text("utf-8") == without


def test_another_safety_md_stays_out(ready: Path) -> None:
    before = (ready / "README.md").read_text("utf-8")
    (ready / NAME).write_text("# Our thoughts on safety\n")
    write_folder(ready)
    assert (ready / "README.md").read_text("utf-8") == before
