"""Downloads: whole, interrupted and resumed, damaged, refused; and the command that starts them."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hub_server import COMMIT, TOKEN, Handler, serving

from relay_gguf.cli.app import main
from relay_gguf.errors import ModelError
from relay_gguf.hub import cache as hub_cache
from relay_gguf.hub import download as hub_download
from relay_gguf.hub import progress as fetch_screen
from relay_gguf.hub.repo import RepoFile
from relay_gguf.hub.watcher import DeclinedError, Download
from relay_gguf.models.locate import find, locate

CONTENT = b"GGUF" + random.Random(1).randbytes(399_996)
DIGEST = sha256(CONTENT).hexdigest()
NAME = "r-Q4_K_M.gguf"
PARTS = {f"F16/r-F16-0000{n}-of-00003.gguf": CONTENT[n:] for n in (1, 2, 3)}
REPO = {NAME: CONTENT, "small-Q8_0.gguf": b"GGUF small", "README.md": b"# r", **PARTS}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(hub_download, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(hub_download, "LOOK_AGAIN", 0.05)
    with serving({"o/r": REPO}, monkeypatch, str(tmp_path / "hf")) as handler:
        yield handler


@pytest.fixture
def folder(server: type[Handler], tmp_path: Path) -> Path:
    """The repository's folder in the cache."""
    return tmp_path / "hf" / "hub" / "models--o--r"


@dataclass
class Notes:
    """A watcher that answers, and writes down what it is told."""

    answer: bool = True
    asked: list[Download] = field(default_factory=list)
    checked: list[tuple[int, int]] = field(default_factory=list)
    done: list[tuple[int, int]] = field(default_factory=list)
    waited: int = 0

    def asks(self, download: Download) -> bool:
        self.asked.append(download)
        return self.answer

    def checking(self, done: int, total: int) -> None:
        self.checked.append((done, total))

    def progress(self, done: int, total: int) -> None:
        self.done.append((done, total))

    def waits(self) -> None:
        self.waited += 1


def leftovers(folder: Path) -> list[str]:
    """Files of ours that are not whole."""
    return sorted(path.name for path in folder.rglob("*relay-gguf*"))


# A file


def test_a_file_is_fetched_once(server: type[Handler], folder: Path) -> None:
    server.mood.card = {"license": "cc-by-nc-4.0"}
    notes = Notes()
    path = locate("o/r", notes)
    assert path == folder / "snapshots" / COMMIT / NAME
    assert path.read_bytes() == CONTENT
    assert notes.asked == [
        Download("o/r", (NAME,), len(CONTENT), len(CONTENT), notes.asked[0].free, "cc-by-nc-4.0")
    ]
    assert notes.done[-1] == (len(CONTENT), len(CONTENT))
    assert notes.done == sorted(notes.done)
    assert not notes.checked
    asked = len(server.requests)
    assert locate("o/r") == locate("o/r:q4_k_m") == path
    assert len(server.requests) == asked, "without asking the network again"
    assert (folder / "refs" / "main").read_text() == COMMIT
    assert (folder / "blobs" / DIGEST).read_bytes() == CONTENT
    assert leftovers(folder) == []


def test_the_hubs_own_library_finds_it(server: type[Handler]) -> None:
    from huggingface_hub import hf_hub_download, scan_cache_dir

    path = locate("o/r:Q4_K_M")
    asked = len(server.requests)
    assert hf_hub_download("o/r", NAME, local_files_only=True) == str(path)
    assert hf_hub_download("o/r", NAME) == str(path)
    assert [r.split()[0] for r in server.requests[asked:]] == ["HEAD"], "nothing is downloaded"
    (repo,) = scan_cache_dir(path.parents[3]).repos
    assert repo.size_on_disk == len(CONTENT)
    # And the other way round.
    theirs = hf_hub_download("o/r", "small-Q8_0.gguf")
    assert find("o/r:Q8_0") == Path(theirs)


def test_where_there_are_no_links(
    server: type[Handler], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True, raising=False)
    path = locate("o/r:F16")
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT[1:]
    assert not list((folder / "blobs").iterdir()), "moved, not copied"
    asked = len(server.asked)
    assert hub_download.fetch(RepoFile("o/r", "F16")) == path
    assert len(server.asked) == asked


def test_a_cache_that_may_only_be_read(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = locate("o/r")
    for name in ("symlink_to", "unlink", "replace"):
        monkeypatch.setattr(Path, name, refused)
    assert hub_download.fetch(RepoFile("o/r")) == path


def test_a_file_in_git_itself(server: type[Handler], folder: Path) -> None:
    path = locate("o/r/small-Q8_0.gguf")
    assert path.read_bytes() == b"GGUF small"
    assert len(path.readlink().name) == 40, "git's checksum, which is checked too"


def test_another_revision(server: type[Handler], folder: Path) -> None:
    path = locate("o/r@v1:Q4_K_M")
    assert path.read_bytes() == CONTENT
    assert any("/api/models/o/r/revision/v1" in request for request in server.requests)
    assert (folder / "refs" / "v1").read_text() == COMMIT
    assert not (folder / "refs" / "main").exists()
    asked = len(server.requests)
    assert locate("https://huggingface.co/o/r/tree/v1") == path
    assert len(server.requests) == asked, "without asking the network again"
    assert find("o/r@v2") is None
    assert find(f"o/r@{COMMIT}") == path


def test_a_link_to_something_else() -> None:
    for link in ("https://huggingface.co/datasets/o/r", "https://example.org/o/r/x.gguf"):
        with pytest.raises(ModelError, match=f"{link} is not the address of a model on the hub"):
            locate(link)


def test_nothing_is_downloaded_that_nobody_wants(server: type[Handler], folder: Path) -> None:
    with pytest.raises(DeclinedError, match=r"Nothing was downloaded\."):
        locate("o/r", Notes(answer=False))
    assert server.asked == []
    assert not folder.exists() or leftovers(folder) == []


# Interrupted


HALF = len(CONTENT) // 2


@pytest.mark.parametrize(
    ("ranges", "cuts", "asked"),
    [
        (True, [HALF], [0, HALF]),
        (True, [1000, 0, 0, 1000, 0], [0, 1000, 1000, 1000, 2000, 2000]),
        (False, [HALF], [0, HALF]),
        (False, [HALF, 1000, 1000], [0, HALF, 1000, 1000]),
    ],
)
def test_a_connection_that_breaks(
    server: type[Handler], ranges: bool, cuts: list[int], asked: list[int]
) -> None:
    server.mood.ranges, server.mood.cuts = ranges, cuts
    assert locate("o/r").read_bytes() == CONTENT
    assert [int(said.partition("-")[0]) for said in server.asked] == asked


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_that_hiccups(server: type[Handler], status: int) -> None:
    server.mood.statuses = [status, status]
    assert locate("o/r").read_bytes() == CONTENT


def test_a_connection_that_stays_broken(server: type[Handler], folder: Path) -> None:
    server.mood.cuts = [100_000, 0, 0, 0]
    said = rf"The download of {NAME} broke at 100 KB of 400 KB: Cannot reach .* goes on"
    with pytest.raises(ModelError, match=said):
        locate("o/r")
    assert find("o/r") is None, "nothing looks whole"
    assert leftovers(folder) == [f"{DIGEST}.relay-gguf-partial"]
    server.asked.clear()
    notes = Notes()
    assert locate("o/r", notes).read_bytes() == CONTENT
    assert server.asked == [f"100000-{len(CONTENT) - 1}"]
    assert notes.asked[0].missing == len(CONTENT) - 100_000
    assert notes.checked[-1] == (100_000, len(CONTENT))
    assert leftovers(folder) == []


def test_a_file_larger_than_one_answer(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_gguf.hub.file.AT_ONCE", 150_000)
    assert locate("o/r").read_bytes() == CONTENT
    assert server.asked == ["0-149999", "150000-299999", f"300000-{len(CONTENT) - 1}"]


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        (CONTENT[:1234], f"1234-{len(CONTENT) - 1}"),
        (CONTENT, ""),
        (CONTENT + b"more", f"0-{len(CONTENT) - 1}"),
        (b"", f"0-{len(CONTENT) - 1}"),
    ],
)
def test_what_is_there_already(
    server: type[Handler], folder: Path, there: bytes, asked: str
) -> None:
    partial = hub_cache.repo_cache("o/r").partial(DIGEST)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(there)
    assert locate("o/r").read_bytes() == CONTENT
    assert server.asked == [asked] * bool(asked)


def test_what_was_begun_of_an_older_file(server: type[Handler], folder: Path) -> None:
    cache = hub_cache.repo_cache("o/r")
    other = sha256(PARTS["F16/r-F16-00001-of-00003.gguf"]).hexdigest()
    for digest in ("e" * 64, other):
        cache.partial(digest).parent.mkdir(parents=True, exist_ok=True)
        cache.partial(digest).write_bytes(b"GGUF")
    locate("o/r")
    assert leftovers(folder) == [f"{other}.relay-gguf-partial"], "that one goes on one day"


# Damaged


def test_the_wrong_content(server: type[Handler], folder: Path) -> None:
    wrong = CONTENT[:-1] + b"?"
    server.mood.lies = {DIGEST: wrong}
    with pytest.raises(ModelError) as damaged:
        locate("o/r")
    assert str(damaged.value).startswith(
        f"{NAME} came damaged from o/r: its checksum is {sha256(wrong).hexdigest()} and should be "
        f"{DIGEST}. It was deleted: run the same command again."
    )
    assert find("o/r") is None
    assert leftovers(folder) == []
    server.mood.lies = {}
    assert locate("o/r").read_bytes() == CONTENT


@pytest.mark.parametrize("lie", [CONTENT + b"?", CONTENT[: HALF - 1]])
def test_the_wrong_size(server: type[Handler], lie: bytes) -> None:
    server.mood.lies, server.mood.ranges = {DIGEST: lie}, False
    with pytest.raises(ModelError, match=r"sends other bytes of|The server stopped too early"):
        locate("o/r")
    assert find("o/r") is None


def test_the_disk_damages_it(server: type[Handler], folder: Path) -> None:
    server.mood.cuts = [HALF, 0, 0, 0]
    with pytest.raises(ModelError, match="broke"):
        locate("o/r")
    with hub_cache.repo_cache("o/r").partial(DIGEST).open("r+b") as file:
        file.write(b"gguf")
    with pytest.raises(ModelError, match=r"came damaged.*run the same command again"):
        locate("o/r")
    assert locate("o/r").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../../evil.gguf", "/evil.gguf", "..\\evil.gguf"])
def test_a_name_that_leads_out(
    server: type[Handler], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "repos", {"o/r": {name: CONTENT}})
    with pytest.raises(
        ModelError, match=r"cannot be a file's name here|no such file|no repository"
    ):
        locate("o/r")
    assert server.asked == []


# The disk


def test_a_download_that_does_not_fit_on_the_disk_is_refused(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = hub_cache.repo_cache("o/r").partial(DIGEST)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:100_000])
    monkeypatch.setattr(hub_cache.RepoCache, "free", lambda self: 299_000)
    said = rf"{NAME} needs 300 KB more, and 299 KB are free in .*Free some space, or set HF_HOME"
    with pytest.raises(ModelError, match=said):
        locate("o/r")
    assert server.asked == []
    monkeypatch.setattr(hub_cache.RepoCache, "free", lambda self: 300_000)
    assert locate("o/r").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, rf"{NAME} needs \d\d\d KB more, .* Downloaded bytes are kept"),
        (errno.EACCES, r"Cannot write to the hub's cache in .*: Permission denied. HF_HOME names"),
    ],
)
def test_the_disk_refuses_in_the_middle(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    growing: Any = hub_download._Growing
    add: Callable[[Any, bytes], None] = growing.add

    def full(self: Any, data: bytes) -> None:
        if self.size > 50_000:
            raise OSError(number, os.strerror(number))
        add(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(growing, "add", full)
        with pytest.raises(ModelError, match=message):
            locate("o/r")
    there = hub_cache.repo_cache("o/r").partial_size(DIGEST)
    assert there > 50_000
    server.asked.clear()
    assert locate("o/r").read_bytes() == CONTENT
    assert server.asked == [f"{there}-{len(CONTENT) - 1}"]


# Split models


@pytest.mark.parametrize("model", ["o/r:F16", *(f"o/r/{name}" for name in PARTS)])
def test_all_shards_of_a_model_are_downloaded(
    server: type[Handler], folder: Path, model: str
) -> None:
    notes = Notes()
    path = locate(model, notes)
    assert path == folder / "snapshots" / COMMIT / "F16" / "r-F16-00001-of-00003.gguf"
    parts = sorted(path.parent.iterdir())
    assert [part.read_bytes() for part in parts] == list(PARTS.values())
    total = sum(map(len, PARTS.values()))
    assert notes.asked[0].files == tuple(PARTS)
    assert (notes.asked[0].total, notes.done[-1]) == (total, (total, total))
    assert notes.done == sorted(notes.done)


def test_only_the_missing_part_comes(server: type[Handler], folder: Path) -> None:
    path = locate("o/r:F16")
    second = path.with_name("r-F16-00002-of-00003.gguf")
    second.resolve().unlink()
    assert find("o/r:F16") is None
    server.asked.clear()
    notes = Notes()
    assert locate("o/r:F16", notes) == path
    assert second.read_bytes() == CONTENT[2:]
    assert len(server.asked) == 1
    assert notes.asked[0].missing == len(CONTENT) - 2


# Several processes


PROGRAM = """
import sys, typer
from relay_gguf.errors import RelayError
from relay_gguf.cli.download import download
from relay_gguf.hub import progress as fetch_screen

if "--ask-always" in sys.argv:
    fetch_screen.ASK_FROM = 0
    sys.argv.remove("--ask-always")
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(download)
try:
    app()
except RelayError as error:
    print(f"relay-gguf: {error}", file=sys.stderr)
    sys.exit(1)
"""
COMMAND = [sys.executable, "-c", PROGRAM]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX")
@pytest.mark.parametrize("number", [signal.Signals["SIGINT"], signal.Signals["SIGTERM"], 9])
def test_killed_and_resumed_by_another_process(
    server: type[Handler], folder: Path, number: int
) -> None:
    cache = hub_cache.repo_cache("o/r")
    server.mood.delay = 0.05
    with subprocess.Popen([*COMMAND, "o/r"], stderr=subprocess.DEVNULL) as process:
        until(lambda: cache.partial_size(DIGEST) > 50_000)
        process.send_signal(number)
    assert process.returncode != 0
    there = cache.partial_size(DIGEST)
    assert 50_000 < there < len(CONTENT)
    assert find("o/r") is None
    server.mood.delay = 0.0
    server.asked.clear()
    done = run("o/r")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{folder / 'snapshots' / COMMIT / NAME}\n"
    assert Path(done.stdout.strip()).read_bytes() == CONTENT
    assert server.asked == [f"{there}-{len(CONTENT) - 1}"]
    assert done.stderr.splitlines() == [
        f"Downloading {NAME} (400 KB, {there // 1000 + 1} KB of it are here) from o/r ...",
        "Checked: 400 KB with the right checksum.",
    ]


def test_two_processes_at_once(server: type[Handler], folder: Path) -> None:
    server.mood.delay = 0.03
    notes, paths = Notes(), list[Path]()
    with subprocess.Popen([*COMMAND, "o/r"], stdout=subprocess.PIPE, text=True) as process:
        until(lambda: hub_cache.repo_cache("o/r").partial_size(DIGEST) > 0)
        second = Thread(target=lambda: paths.append(locate("o/r", notes)))
        second.start()
        printed, _ = process.communicate()
        second.join()
    assert process.returncode == 0
    assert [str(path) for path in paths] == printed.splitlines()
    assert paths[0].read_bytes() == CONTENT
    assert notes.waited > 0
    assert len(server.asked) == 1, "one of them downloaded it"


def test_the_first_of_two_processes_dies(server: type[Handler], folder: Path) -> None:
    server.mood.delay = 0.03
    notes, paths = Notes(), list[Path]()
    with subprocess.Popen([*COMMAND, "o/r"], stderr=subprocess.DEVNULL) as process:
        until(lambda: hub_cache.repo_cache("o/r").partial_size(DIGEST) > 0)
        second = Thread(target=lambda: paths.append(locate("o/r", notes)))
        second.start()
        until(lambda: notes.waited > 0)
        process.kill()
    server.mood.delay = 0.0
    second.join()
    assert paths[0].read_bytes() == CONTENT
    assert len(server.asked) == 2
    assert not server.asked[1].startswith("0-"), "it went on where the first one was"


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
        (["--min-speed", "-1"], "min_speed is -1.0; it must be 0 or more."),
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


@pytest.mark.parametrize("columns", [80, 40])
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
    child.expect_exact("downloading" if columns == 80 else "kB/s")
    child.expect_exact(f"{COMMIT}/{NAME}")
    child.expect(child.delimiter)
    assert child.wait() == 0
    child.close()


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
