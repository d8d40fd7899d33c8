"""The command that downloads: its lines, its question, its bar; files listed and removed."""

from __future__ import annotations

import json
import os
import re
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from downloads import COMMAND, CONTENT, HALF, NAME, PARTS, run
from hub_server import COMMIT, TOKEN, Handler
from thorough import cases

from relay_gguf.cli.app import main
from relay_gguf.errors import ModelError
from relay_gguf.hub import progress as fetch_screen
from relay_gguf.models.locate import locate

# The command


def test_the_command_downloads_and_checks(
    server: type[Handler], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    first = run("o/r:F16", "--json")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert said["path"] == said["files"][0]
    assert (len(said["files"]), said["bytes"]) == (3, sum(map(len, PARTS.values())))
    assert (said["downloaded"], said["checked"]) == (True, True)
    assert server.leaked == []

    asked = len(server.requests)
    again = run("o/r:F16", "--json")
    assert json.loads(again.stdout) == {**said, "downloaded": False}
    assert len(server.requests) == asked

    Path(said["files"][1]).resolve().write_bytes(b"GGUF")
    damaged = run("o/r:F16")
    assert (damaged.returncode, damaged.stdout) == (1, "")
    assert "r-F16-00002-of-00003.gguf is damaged" in damaged.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["o/none"], "no repository o/none"),
        (["nowhere.gguf"], "There is no file nowhere.gguf."),
        pytest.param(
            ["--min-speed", "-1"],
            "min_speed is -1.0; it must be 0 or more.",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_the_command_ends_with_one_line(
    server: type[Handler], arguments: list[str], message: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("licence", "text"),
    [
        ("cc-by-nc-4.0", "CC-BY-NC 4.0: not for commercial use"),
        ("cc-by-nc-sa-3.0", "CC-BY-NC-SA 3.0: not for commercial use"),
        ("cc-by-4.0", "CC-BY 4.0"),
        ("apache-2.0", "apache-2.0"),
        ("some-nc-licence", "some-nc-licence: not for commercial use"),
        ("", ""),
    ],
)
def test_a_licence_is_told_by_its_name(licence: str, text: str) -> None:
    assert fetch_screen.licence_text(licence) == text


def test_lines_instead_of_a_bar(server: type[Handler], capsys: pytest.CaptureFixture[str]) -> None:
    server.mood.card, server.mood.cuts = {"license": "mit\x1b[2J"}, [HALF, 0, 0, 0]
    clock = count(0, fetch_screen.EVERY)
    with pytest.raises(ModelError):
        locate("o/r", fetch_screen.LineScreen(lambda: next(clock)))
    locate("o/r", fetch_screen.LineScreen(lambda: next(clock)))
    printed, lines = capsys.readouterr()
    assert printed == ""
    assert f"Downloading {NAME} (400 KB, mit^[[2J) from o/r ..." in lines.splitlines()
    assert "checked 50 % of 400 KB" in lines.splitlines()
    assert re.fullmatch(r"100 % of 400 KB, \d+ KB/s", lines.splitlines()[-1])


# On a terminal


def on_terminal(columns: int, *arguments: str) -> Any:
    pexpect = pytest.importorskip("pexpect")
    if os.name != "posix":
        pytest.skip("pexpect needs a pseudo-terminal")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    return pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], "--ask-always", *arguments], env=environment,
        encoding="utf-8", dimensions=(24, columns), timeout=20,
    )  # fmt: skip


@pytest.mark.parametrize("columns", cases([80, 40], 80))
def test_the_user_is_asked_before_a_large_download(
    server: type[Handler], folder: Path, columns: int
) -> None:
    server.mood.card = {"license": "cc-by-nc-4.0"}
    server.mood.delay = 0.02
    child = on_terminal(columns, "o/r")
    child.expect_exact("[Y/n]")
    question = re.sub(r"\s+", " ", child.before)
    assert question == (
        f"Download {NAME} (400 KB, CC-BY-NC 4.0: not for commercial use) from o/r? "
    )
    assert server.asked == []
    child.sendline("")
    child.expect_exact("downloading" if columns == 80 else "400.0 kB")
    child.expect_exact(f"{COMMIT}/{NAME}")
    child.expect(child.delimiter)
    assert child.wait() == 0
    child.close()


@pytest.mark.thorough
@pytest.mark.parametrize(("answer", "said"), [("n", "Nothing was downloaded."), ("\x04", "Abort")])
def test_no_is_an_answer(server: type[Handler], answer: str, said: str) -> None:
    child = on_terminal(80, "o/r")
    child.expect_exact("[Y/n]")
    child.send(answer if answer == "\x04" else f"{answer}\n")
    child.expect_exact(said)
    child.expect_exact("\n")
    assert child.wait() == 1
    child.close()
    assert server.asked == []


@pytest.mark.thorough
def test_nobody_is_asked_twice(server: type[Handler]) -> None:
    server.mood.card = {"license": "cc-by-nc-4.0"}
    child = on_terminal(80, "o/r", "-y")
    child.expect_exact("right checksum")
    assert child.before.count("not for commercial use") == 1
    assert "[Y/n]" not in child.before
    child.expect(child.delimiter)
    child.close()


# Listed and removed


def _models(*arguments: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["models", *arguments])


def test_what_was_downloaded_is_listed(
    server: type[Handler], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _models("--here")
    assert capsys.readouterr().out.startswith("No model was downloaded to ")
    path = locate("o/r:Q4_K_M")
    locate("o/r/small-Q8_0.gguf")
    _models("--here")
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        f"o/r/{NAME}",
        "o/r/small-Q8_0.gguf",
    ]
    _models("--here", "--json")
    first, _ = json.loads(capsys.readouterr().out)
    assert first == {"name": f"o/r/{NAME}", "bytes": len(CONTENT), "path": str(path)}


def test_what_was_downloaded_is_removed_with_its_bytes(
    server: type[Handler], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = locate("o/r:Q4_K_M"), locate("o/r/small-Q8_0.gguf")
    same = folder / "snapshots" / ("d" * 40) / "copy.gguf"
    same.parent.mkdir()
    same.symlink_to(path.resolve())
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    _models("--remove", "o/r:Q4_K_M")
    assert path.is_file(), "nobody wanted that"
    _models("--remove", "o/r:Q4_K_M", "--yes")
    assert not path.is_symlink()
    assert other.is_file()
    assert same.read_bytes() == CONTENT, "another commit has the same file"
    _models("--remove", "o/r", "--yes")
    assert not any(path.is_file() for path in (folder / "blobs").iterdir())
    with pytest.raises(SystemExit, match="1"):
        main(["models", "--remove", "o/r", "--yes"])
