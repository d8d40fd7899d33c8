"""A kill while files get their names, or before the card is written, loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conversions import JOURNAL, converted, digests
from kills import KILLS, Kill, KilledError, killed
from stopped_runs import TYPES
from thorough import cases

from relay_gguf.cli.app import main
from relay_gguf.convert.publish import folder
from relay_gguf.convert.publish.folder import WrittenFolder
from relay_gguf.convert.request import Request
from relay_gguf.errors import ConversionError


@pytest.mark.parametrize(("kill", "n_named"), KILLS.items())
def test_a_kill_while_files_get_their_names_loses_nothing(
    kill: Kill,
    n_named: int,
    wanted: Request,
    whole: Path,
    tmp_path: Path,
    opened: list[str],
) -> None:
    assert len(killed(wanted, tmp_path, kill)) == n_named
    opened.clear()
    files = converted(wanted, tmp_path)
    assert opened == []
    assert digests(tmp_path) == digests(whole)
    assert list(files) == list(TYPES)


def test_a_kill_before_the_card_is_made_up_for_by_the_same_command(
    wanted: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    given = ["convert", wanted.base, "--pre", "smollm", "-q", "Q8_0", "-o", str(out), "--quiet"]
    card = folder.write_folder
    with monkeypatch.context() as patch:

        def kill(*_: object) -> None:
            raise KilledError

        patch.setattr(folder, "write_folder", kill)
        with pytest.raises(KilledError):
            main(given)
    (file,) = out.glob("*.gguf")
    before = file.stat()
    with monkeypatch.context() as patch:

        def fail(*given: Any) -> WrittenFolder:
            card(*given)
            raise ConversionError("README.md cannot be written.")

        patch.setattr(folder, "write_folder", fail)
        with pytest.raises(SystemExit) as exit_:
            main(given)
    assert exit_.value.code == 1
    with pytest.raises(SystemExit) as exit_:
        main(given)
    assert exit_.value.code == 0
    names = {path.name for path in out.iterdir()}
    assert {"README.md", "SHA256SUMS"} < names
    assert JOURNAL not in names
    assert file.stat().st_mtime_ns == before.st_mtime_ns, "the file itself was whole"
    assert file.stat().st_ino == before.st_ino


@pytest.mark.parametrize("kill", cases(KILLS, next(iter(KILLS))))
def test_a_finished_file_that_was_taken_away_is_made_again(
    kill: Kill, wanted: Request, whole: Path, tmp_path: Path
) -> None:
    first, *_ = killed(wanted, tmp_path, kill)
    (tmp_path / first).unlink()
    converted(wanted, tmp_path)
    assert digests(tmp_path) == digests(whole)
