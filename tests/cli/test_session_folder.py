"""The folder of saved sessions as the command line finds it: unreadable, or with odd names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import done

from relay_gguf.folders import sessions_folder


@pytest.mark.parametrize(
    "given", [["list"], ["search", "hi"], ["show", "1"], ["export", "1"], ["rm", "1", "--yes"]]
)
def test_a_folder_that_cannot_be_read_is_not_empty(
    given: list[str],
    tale: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(folder: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    said = f"relay-gguf: Cannot read {sessions_folder()}: Permission denied.\n"
    assert done(capsys, "sessions", *given) == (1, "", said)


def test_a_name_that_a_terminal_would_obey_is_made_visible(
    tale: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tale.rename(tale.with_name("a\x1b[2J\nb.jsonl"))
    for given in (["list"], ["search", "and now"], ["rm", "1", "--yes"]):
        code, out, _ = done(capsys, "sessions", *given)
        assert (code, len(out.splitlines())) == (0, 1)
        assert "a^[[2J" in out
