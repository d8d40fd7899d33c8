"""How many secrets are found in lines as people write them, and how many harmless lines are lost.

`corpus/` has made-up lines of chats in many languages. The first pair of files was at hand when the
rules were written; the lines of the second were written afterwards, to see what the rules had not
been made for, and some of their faults were mended since. `pytest -s` prints the counts, which
`docs/train.md` tells. A secret has a `¦` somewhere in it, for no scanner should take it for a real
one.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from relay_gguf.dataset.secrets import KINDS, secret

CORPUS = Path(__file__).parent / "corpus"


def told_secrets(name: str) -> list[tuple[str, str]]:
    """Kinds and lines."""
    rows = (CORPUS / name).read_text("utf-8").splitlines()
    pairs = [row.replace("¦", "").split("\t") for row in rows]
    return [(kind, text) for kind, text in pairs]


@pytest.mark.parametrize(
    ("name", "size", "at_least"), [("secrets.tsv", 200, 196), ("later-secrets.tsv", 153, 138)]
)
def test_secrets_are_found(name: str, size: int, at_least: int) -> None:
    lines = told_secrets(name)
    found = {text: secret(text) for _, text in lines}
    total = Counter(kind for kind, _ in lines)
    known = Counter(kind for kind, text in lines if found[text])
    shown = [f"{name}: {known.total()} of {len(lines)} found"]
    shown += [f"{kind:<12}{known[kind]:>4} of {total[kind]}" for kind in KINDS if kind in total]
    shown += [f"not found: {text}" for _, text in lines if not found[text]]
    sys.stdout.write("\n" + "\n  ".join(shown) + "\n")
    assert len(lines) == size
    assert known.total() >= at_least
    kinds_told = sum(found[text] == kind for kind, text in lines)
    assert kinds_told >= 0.9 * known.total()


@pytest.mark.parametrize(("name", "size"), [("harmless.txt", 200), ("later-harmless.txt", 160)])
def test_harmless_lines_are_kept(name: str, size: int) -> None:
    lines = (CORPUS / name).read_text("utf-8").splitlines()
    lost = [f"{secret(text)}: {text}" for text in lines if secret(text)]
    shown = [f"{name}: {len(lost)} of {len(lines)} left out", *lost]
    sys.stdout.write("\n" + "\n  ".join(shown) + "\n")
    assert len(lines) == size
    assert len(lost) <= 2
