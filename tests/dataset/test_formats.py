"""Each client's log: what its lines say, and the conversation that must come out of all of them."""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

import pytest
from dataset.chats import made, scene, told
from dataset.client_logs import LINES, LOGS
from dataset.irc_clients import CLIENTS

from relay_gguf.dataset.build import Options
from relay_gguf.dataset.logs.formats import READERS, open_log, target_of
from relay_gguf.dataset.logs.log_line import LogLine
from relay_gguf.dataset.tally import Tally

GOLDEN = Path(__file__).parent.parent / "golden" / "logs"
CONVERSATION = f"""\
{scene()}\
anon: /topic sails
system: * Topic for #boats is: sails
anon: ahoy
user: hello there
anon: /me waves
system: * anon used /me waves
user: good morning
anon: /topic oars
system: * Topic for #boats is: oars
anon: well?
user: well
"""


@pytest.mark.parametrize("name", LOGS)
def test_a_log_of_each_client_is_read(name: str, tmp_path: Path) -> None:
    tally = Tally()
    assert made(tmp_path, LOGS[name], tally=tally) == [CONVERSATION]
    assert (tally.files, tally.unknown) == ({name: 1}, 0)
    assert tally.lines == LOGS[name].count("\n")


@pytest.mark.parametrize("name", LOGS)
def test_windows_line_ends_and_gzip_are_read(name: str, tmp_path: Path) -> None:
    data = gzip.compress(LOGS[name].replace("\n", "\r\n").encode())
    assert made(tmp_path, data, name="#boats.log.gz") == [CONVERSATION]


@pytest.mark.parametrize("name", LOGS)
def test_a_named_format_is_not_recognized_but_taken(name: str, tmp_path: Path) -> None:
    assert made(tmp_path, LOGS[name], format=name) == [CONVERSATION]


def test_formats_may_be_mixed_in_one_file(tmp_path: Path) -> None:
    tally = Tally()
    log = "".join(LOGS.values())
    assert made(tmp_path, log, name="boats/2023-11-15.log", channel="#boats", tally=tally) == [
        CONVERSATION
    ] * len(LOGS)
    assert tally.unknown == 0


@pytest.mark.parametrize(
    ("name", "text", "says"), [(name, *case) for name, cases in LINES.items() for case in cases]
)
def test_a_line_of_each_kind_is_read(
    name: str, text: str, says: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "x").write_text(text + "\n", "utf-8")
    (line,) = open_log(tmp_path / "x", name).lines
    assert isinstance(line, LogLine)
    assert (line.kind.value, line.nick, line.text) == says


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("irclogs/net/#boats.log", "#boats"),
        ("logs/irc.libera.#node.js.weechatlog", "#node.js"),
        ("logs/irc.libera.##c.weechatlog.gz", "##c"),
        ("libera-#boats.log", "#boats"),
        ("libera/#boats/2023-11-15.log", "#boats"),
        ("#boats_20231115.log", "#boats"),
        ("user_net_#boats_20231115.log", "#boats"),
        ("logs/irc.libera.nickserv.weechatlog", "nickserv"),
        ("net/nickserv/2023-11-15.log", "nickserv"),
        ("bob.log", "bob"),
    ],
)
def test_a_log_is_named_after_its_channel_or_person(path: str, target: str) -> None:
    assert target_of(Path(path)) == target


def times(folder: Path, text: str, name: str = "x.log") -> list[float]:
    """Hours between the lines of a log and its first."""
    (folder / name).write_text(text)
    found = [line.time for line in open_log(folder / name).lines if isinstance(line, LogLine)]
    dated = [time for time in found if time is not None]
    return [(time - dated[0]) / 3600 for time in dated]


def test_time_goes_on(tmp_path: Path) -> None:
    midnight = "23:00 <a> x\n00:30 <a> x\n23:30 <a> x\n"
    assert times(tmp_path, midnight) == [0, 1.5, 24.5]
    changed = "--- Day changed {} 2023\n09:00 <a> x\n"
    told_days = changed.format("Sat Nov 18") + changed.format("Mon Nov 20")
    assert times(tmp_path, told_days) == [0, 48]
    end_of_summer = "02:59 <a> x\n02:00 <a> x\n03:00 <a> x\n"
    assert [round(time, 2) for time in times(tmp_path, end_of_summer)] == [0, -0.98, 0.02]
    new_year = "Dec 31 23:00:00 <a>\tx\nJan 01 01:00:00 <a>\tx\n"
    assert times(tmp_path, new_year) == [0, 2]


def test_bytes_of_any_encoding_become_text(tmp_path: Path) -> None:
    log = (
        b"12:00 <bob> \x02bold\x02 \x0304,12red\x03 \x1b[31mred\x1b[0m \x0ftab\there\r\n"
        b"12:00 <ann> \x01\x07caf\xc3\xa9\x08\n"
        b"12:00 <bob> caf\xe9 \x80 5\n"  # Windows-1252
        b"12:00 <ann> caf\xc3\xa9 \xe2\x98\n"  # UTF-8, cut
        b"12:00 <bob> \x81\n"  # not even Windows-1252
        b"12:00 <ann> \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x8c\xbe\n"
        b"12:00 <bob> \n"
        b"12:00 <bob> \x03\n"
        b"12:00 <bob> <|im_end|>\n"
        b"12:00 <ann> last, without an end"
    )
    tally = Tally()
    assert made(tmp_path, log, tally=tally) == [
        scene("anon")
        + "anon: bold red red tab\there\nuser: café\nanon: café € 5\nuser: café\n"
        + "anon: \nuser: 👩‍🌾\nanon: < |im_end|>\nuser: last, without an end\n".replace(
            "anon: \n", ""
        )
    ]
    assert tally.empty == 3


def test_lines_that_are_too_long_are_skipped(tmp_path: Path) -> None:
    tally = Tally()
    log = f"12:00 <bob> {'x ' * 5000}\n12:00 <bob> {'y' * 200_000}\n12:01 <ann> hm\n"
    (text,) = made(tmp_path, log, tally=tally)
    assert text == scene("anon") + f"anon: {('x ' * 5000).strip()}\nuser: hm\n"
    assert (tally.lines, tally.unknown) == (3, 1)


def test_lines_that_no_reader_knows_are_told(tmp_path: Path) -> None:
    tally, found = Tally(), []
    (tmp_path / "#c.log").write_text("12:00 <ann> hi\nhm?\n\n*** what\n")
    from relay_gguf.dataset.build import conversations

    options = Options(["ann"])
    list(
        conversations(
            [tmp_path], options, tally, lambda path, line: found.append((path.name, *line))
        )
    )
    assert found == [("#c.log", 2, "hm?"), ("#c.log", 4, "*** what")]
    assert (tally.lines, tally.unknown) == (4, 2)


def test_files_that_are_no_logs_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.bin").write_bytes(bytes(range(256)) * 50)
    (logs / "a.png").write_bytes(b"x\n" * 4000 + b"\0" + LOGS["irssi"].encode())
    (logs / "b.log").write_bytes(b"")
    (logs / "c.bin.gz").write_bytes(gzip.compress(b"\0" + LOGS["irssi"].encode()))
    (logs / "c.gz").write_bytes(gzip.compress(LOGS["irssi"].encode())[:-20])
    (logs / "d.txt").write_text("dear diary,\ntoday\n")
    (logs / ".hidden").write_text("12:00 <ann> hi\n")
    (logs / "#boats.log").write_text(LOGS["irssi"])
    tally = Tally()
    assert CONVERSATION in told([logs], Options(["ann"]), tally)
    assert {path.name: why.split(",")[0].split(" (")[0] for path, why in tally.skipped} == {
        "a.bin": "it is not text",
        "a.png": "it is not text",
        "b.log": "it is empty",
        "c.bin.gz": "it is not text",
        "c.gz": "the gzip file is damaged",
        "d.txt": "it is not a log of irssi",
    }


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_log_in_utf_16_is_text(order: str, tmp_path: Path) -> None:
    """Its first line, letters beyond Latin-1, and line ends of Windows."""
    text = "12:00 <bob> привет ☂\r\n12:01 <ann> ахой ☂\r\n"
    log = f"\ufeff{text}".encode(f"utf-16-{order}")
    assert made(tmp_path, log) == [scene("anon") + "anon: привет ☂\nuser: ахой ☂\n"]
    tally = Tally()
    long = f"\ufeff12:00 <bob> {'x' * 70_000}\n{text}".encode(f"utf-16-{order}")
    assert made(tmp_path, long, tally=tally) == made(tmp_path, log)
    assert tally.unknown == 1


def test_nul_bytes_further_on_are_left_out(tmp_path: Path) -> None:
    """A machine that lost its power leaves such."""
    log = "12:00 <bob> hi\n" + "12:00 -!- bob is now known as bob\n" * 400 + "\0\0\n"
    assert made(tmp_path, log + "12:01 <ann> h\0m\n") == [scene("anon") + "anon: hi\nuser: hm\n"]


def test_every_reader_has_a_log_here() -> None:
    assert LOGS.keys() == READERS.keys() == LINES.keys()


REAL = f"""\
{scene()}\
anon: ahoy ann, how's the sea?
user: it is wet
anon: red sails or white?
user: red
anon: /me hoists the flag
system: * anon used /me hoists the flag
user: *salutes*
anon: /slap user
system: * anon slaps user around a bit with a large trout
user: ow! ☂
anon: /topic rain, "more" rain
system: * Topic for #boats is: rain, "more" rain
anon: and the oars?
user: made of ash
"""
TOPIC = "anon: /topic boats and the sea\nsystem: * Topic for #boats is: boats and the sea\n"


def expected(client: str) -> str:
    """WeeChat alone logs the topic when it joins."""
    return REAL.replace(scene(), scene() + TOPIC) if client == "weechat" else REAL


@pytest.mark.parametrize("client", ["irssi", "weechat", "znc"])
def test_logs_that_real_clients_wrote(client: str) -> None:
    tally = Tally()
    assert told([GOLDEN / client], Options(["ann"]), tally) == [expected(client)]
    assert (tally.unknown, tally.lost_changes) == (0, 0)


@pytest.mark.clients
@pytest.mark.skipif(sys.platform == "win32", reason="they are of Unix")
@pytest.mark.parametrize("program", ["irssi", "weechat-headless"])
def test_a_real_client_writes_what_is_read_here(program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    log = CLIENTS[program](tmp_path / "home")
    tally = Tally()
    assert told([log], Options(["ann"]), tally) == [expected(program.partition("-")[0])]
    assert tally.unknown == 0
