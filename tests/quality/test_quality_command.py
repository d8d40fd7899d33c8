"""`relay-gguf quality` as it is typed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay_gguf.cli.app import main
from relay_gguf.cli.quality.reading import ReadingLine
from relay_gguf.quality import plot, replies

FEW = ["--n-ctx", "32", "--positions", "120", "--threads", "1"]


def typed(*words: str | Path) -> int:
    """The exit code of a command."""
    try:
        main(["quality", *map(str, words)])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def refused(capfd: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line that a command says which cannot be done."""
    assert typed(*words) == 1
    out, err = capfd.readouterr()
    (line,) = [each for each in err.splitlines() if not each.startswith("Measuring ")]
    assert out == ""
    assert line.startswith("relay-gguf: ")
    assert "This is a bug" not in line
    return line


def test_a_table_for_people(tiny: Any, talk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert typed(tiny.base, tiny.noisy, tiny.base, *FEW, "--data", talk) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0] == ("Beside base.gguf, on talk.jsonl: 120 positions in 8 chunks of 32 tokens.")
    assert lines[3].startswith("noisy.gguf  375 KB  0.0")
    assert lines[4].startswith("base.gguf   375 KB  0.00000 ± 0.00000  100.00 ± 0.00 %")
    assert "Measuring noisy.gguf ..." in err
    assert any(line.startswith("noisy.gguf diverges by 0.0") for line in lines)
    assert lines[-1].endswith("Half of that is left by --positions 480.")
    assert typed(tiny.base, tiny.noisy, "--n-ctx", "256", "--positions", "0", "--data", talk) == 0
    assert capfd.readouterr().out.endswith("by four times the text: see --data.\n")


@pytest.fixture
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies of a few tokens."""
    monkeypatch.setattr(replies, "GREEDY", replace(replies.GREEDY, max_tokens=9))


@pytest.mark.usefixtures("_brief")
def test_objects_and_replies_for_programs(
    tiny: Any, talk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert typed(tiny.base, tiny.noisy, *FEW, "--json", "--replies", "--data", talk) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["format"], found["n_positions"], found["pairs"]) == (1, 120, [])
    (file,) = found["files"]
    assert file["name"] == "noisy.gguf"
    assert file["groups"]["all"]["kld"].keys() == {"value", "error"}
    assert len(found["replies"]) == 5
    one, other = found["replies"][0]["replies"]
    assert one["alike"] == one["tokens"] > 0
    assert other["alike"] < other["tokens"]


@pytest.mark.usefixtures("_brief")
def test_replies_side_by_side(tiny: Any, talk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert typed(tiny.base, tiny.base, tiny.noisy, *FEW, "--replies", "--data", talk) == 0
    lines = capfd.readouterr().out.splitlines()
    assert sum(line.strip() == "base.gguf   the same" for line in lines) == 5
    assert sum("‖" in line for line in lines) == 5
    assert "base.gguf: 5 of 5 replies are the same." in lines


def test_what_is_refused(
    tiny: Any,
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert "There is no file" in refused(capfd, tiny.base, tmp_path / "no.gguf")
    assert "is not a GGUF file" in refused(capfd, tiny.base, golden / "text.txt")
    assert "Check --data" in refused(capfd, tiny.base, tiny.noisy, "--data", tmp_path / "no")
    here = [tiny.base, tiny.noisy, "--plot"]
    assert "should end with .svg or .png" in refused(capfd, *here, tmp_path / "x.pdf")
    assert "There is no folder" in refused(capfd, *here, tmp_path / "no" / "x.svg")
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    assert "pip install 'relay-gguf[plots]'" in refused(capfd, *here, tmp_path / "x.svg")


@pytest.mark.parametrize(
    "words",
    [
        ["base.gguf"],
        ["base.gguf", "a.gguf", "--save-base", "a", "--base-logits", "b"],
        ["a.gguf", "--base-logits", "b", "--data", "c"],
    ],
)
def test_options_that_do_not_go_together(words: list[str]) -> None:
    assert typed(*words) == 2


def test_ctrl_c_says_what_goes_on(
    tiny: Any,
    talk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def stop(line: ReadingLine, name: str, done: int, total: int) -> None:
        if (name, done) == stops[-1]:
            raise KeyboardInterrupt

    stops: list[tuple[str, int]] = []
    monkeypatch.setattr(ReadingLine, "__call__", stop)
    kept = ["--save-base", str(tmp_path / "base.logits")]
    for stop_at, options, said in (
        (("base.gguf", 1), [], "With --save-base FILE a run goes on"),
        (("base.gguf", 1), kept, "the same command begins anew"),
        (("noisy.gguf", 1), kept, "The same command goes on here"),
    ):
        stops.append(stop_at)
        assert typed(tiny.base, tiny.noisy, *FEW, *options, "--data", talk) == 130
        assert said in capfd.readouterr().err


def test_a_line_tells_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    times = iter([100.0, 130.0])
    line = ReadingLine(lambda: next(times))
    line("a.gguf", 4, 10)
    line("a.gguf", 5, 10)
    line.clear()
    drawn = capfd.readouterr().err.split("\r")
    assert drawn[1:3] == ["a.gguf: 4 of 10\x1b[K", "a.gguf: 5 of 10, 2 min left\x1b[K"]


@pytest.mark.plots
def test_plots(tiny: Any, tmp_path: Path) -> None:
    files = [tmp_path / "a.svg", tmp_path / "b.PNG"]
    options = [word for file in files for word in ("--plot", str(file))]
    assert typed(tiny.base, tiny.noisy, tiny.base, *FEW, *options) == 0
    assert "KL divergence from the base" in files[0].read_text("utf-8")
    assert files[1].read_bytes().startswith(b"\x89PNG")
