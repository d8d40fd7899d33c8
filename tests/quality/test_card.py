"""The model card says which file suits whom, as far as that was measured."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from relay_gguf.cli.app import main
from relay_gguf.convert.publish.folder import write_folder
from relay_gguf.convert.publish.which_one import SUITS, suits
from relay_gguf.quality import comparison
from relay_gguf.quality.scenes import held_out_scenes


@pytest.fixture(scope="module")
def made(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of a conversion with --quality, and what the command printed."""
    out = tmp_path_factory.mktemp("made") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.util.find_spec", without_matplotlib)
        patch.setattr(comparison, "held_out_scenes", lambda: held_out_scenes()[:2])
        code = typed("convert", tiny.noisy, "-q", "Q8_0", "-q", "Q4_0", "-o", out, "--quality")
    assert code == 0
    return out, out / "noisy-Q4_0.gguf"


def without_matplotlib(name: str, package: str | None = None) -> object:
    """The default tests draw nothing, whether it is installed or not."""
    from importlib.machinery import PathFinder

    return None if name == "matplotlib" else PathFinder.find_spec(name)


def typed(*words: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def section(out: Path) -> str:
    """The card's section; empty if there is none."""
    page = (out / "README.md").read_text("utf-8")
    return page.partition("## Which one for me")[2].partition("\n## ")[0]


def test_a_conversion_is_measured(made: tuple[Path, Path]) -> None:
    out, file = made
    found = json.loads((out / "quality.json").read_text("utf-8"))
    assert found["base"]["model"] == "noisy-Q8_0.gguf"
    (entry,) = found["files"]
    assert entry["name"] == file.name
    kld = entry["groups"]["user"]["kld"]
    rows = [row for row in section(out).splitlines() if row.startswith("| `")]
    assert len(rows) == 2
    assert f"| {kld['value']:.4f} ± {kld['error']:.4f} |" in rows[1]
    assert rows[1].endswith(f"| {suits(kld['value'])} |")
    assert rows[0].endswith("| the base itself: to measure and to convert |")
    assert "of held-out scenes, in the lines that the model says" in section(out)


def test_a_file_that_changed_since_is_left_out(made: tuple[Path, Path]) -> None:
    out, file = made
    before, there = section(out), file.stat()
    os.utime(file, ns=(there.st_atime_ns, (out / "quality.json").stat().st_mtime_ns + 1))
    write_folder(out)
    assert section(out) == ""
    os.utime(file, ns=(there.st_atime_ns, there.st_mtime_ns))
    (out / "quality.svg").write_text("<svg/>", "utf-8")
    write_folder(out)
    assert section(out) == before.replace(
        "\n\nThe divergence", "\n\n![Size against divergence](quality.svg)\n\nThe divergence"
    )
    (out / "quality.svg").unlink()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"files": []}', '{"files": [{"name": 1, "groups": {"all": 2}}]}']
)
def test_a_measurement_that_is_none_is_no_section(made: tuple[Path, Path], text: str) -> None:
    out, _ = made
    kept, when = (out / "quality.json").read_bytes(), (out / "quality.json").stat()
    (out / "quality.json").write_text(text, "utf-8")
    write_folder(out)
    assert section(out) == ""
    (out / "quality.json").write_bytes(kept)
    os.utime(out / "quality.json", ns=(when.st_atime_ns, when.st_mtime_ns))


def test_the_card_of_files_that_were_measured_later(
    made: tuple[Path, Path], talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, file = made
    monkeypatch.setattr("importlib.util.find_spec", without_matplotlib)
    (out / "quality.json").unlink()
    write_folder(out)
    assert section(out) == ""
    few = ["--n-ctx", "64", "--positions", "400", "--data", talk]
    assert typed("quality", out / "noisy-Q8_0.gguf", file, *few, "--card") == 0
    assert f"`{file.name}`" in section(out)


def test_what_cannot_be_measured_is_told_before_anything_is_made(
    tiny: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for types in (["Q4_0", "Q5_0"], ["Q8_0"]):
        words = [word for ftype in types for word in ("-q", ftype)]
        assert typed("convert", tiny.noisy, *words, "-o", tmp_path / "out", "--quality") == 1
        assert "--quality compares files with one of F32, F16" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
    assert typed("quality", tiny.base, tiny.noisy, "--card") == 1
    assert "--card needs all files in one folder" in capfd.readouterr().err


def test_what_a_file_is_for_follows_from_its_divergence() -> None:
    assert [suits(most * 0.99) for most, _ in SUITS[:-1]] == [words for _, words in SUITS[:-1]]
    assert suits(0.002) == "where there is room"
    assert suits(5.0) == "only where nothing else fits"
