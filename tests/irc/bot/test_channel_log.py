"""Channel logs: when a line is written, and what it looks like."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bots import MakeBot, said
from wire import Connect, Serve, wait_for

from relay_gguf.irc.bot.channel_log import ChannelLog, Style, folder_name

pytestmark = pytest.mark.usefixtures("make_bot")  # first, so that servers stop before bots do


def test_what_happens_in_a_channel_is_logged(
    serve: Serve, connect: Connect, make_bot: MakeBot, tmp_path: Path
) -> None:
    log = ChannelLog(tmp_path / "logs", "weechat")
    running = serve(make_bot("hello!", "ow", log=log))
    anon = connect(running, "anon")["anon"]
    anon.ask("JOIN #sea", "TOPIC #sea :boats")
    anon.send("PRIVMSG #sea :ahoy")
    said(anon)
    anon.send("PRIVMSG #sea :!slap")  # an order is not said, but what it does is seen
    said(anon, "ow$")
    anon.ask("PART #sea")
    (file,) = (tmp_path / "logs" / "#sea").iterdir()
    wait_for(lambda: "<--" in file.read_text())
    assert [line.split("\t")[1] for line in file.read_text().splitlines()] == (
        ["-->", "--", "anon", "user", " *", "user", "<--"]
    )


@pytest.mark.parametrize(
    ("style", "file", "lines"),
    [
        (
            "irssi",
            "2026-11-22.log",
            [
                "--- Log opened Sun Nov 22 12:00:00 2026",
                "12:00 -!- anon [anon@localhost] has joined #sea",
                "12:00 < anon> ahoy",
                "12:00 < user> one",
                "12:00 < user> two",
                "12:00  * anon waves",
                "12:00 -!- anon changed the topic of #sea to: boats",
                "12:00 -!- anon [anon@localhost] has left #sea",
            ],
        ),
        (
            "weechat",
            "2026-11-22.weechatlog",
            [
                "2026-11-22 12:00:00\t-->\tanon (anon@localhost) has joined #sea",
                "2026-11-22 12:00:00\tanon\tahoy",
                "2026-11-22 12:00:00\tuser\tone",
                "2026-11-22 12:00:00\tuser\ttwo",
                "2026-11-22 12:00:00\t *\tanon waves",
                '2026-11-22 12:00:00\t--\tanon has changed topic for #sea to "boats"',
                "2026-11-22 12:00:00\t<--\tanon (anon@localhost) has left #sea",
            ],
        ),
    ],
)
def test_logs_look_like_those_of_irssi_and_weechat(
    style: Style, file: str, lines: list[str], tmp_path: Path
) -> None:
    log = ChannelLog(tmp_path, style, now=lambda: time.gmtime(1795348800.0))
    log.joined("#sea", "anon", "anon@localhost")
    log.said("#sea", "anon", "ahoy")
    log.said("#sea", "user", "one\ntwo")
    log.said("#sea", "anon", "waves", action=True)
    log.topic("#sea", "anon", "boats")
    log.left("#sea", "anon", "anon@localhost")
    assert (tmp_path / "#sea" / file).read_text().splitlines() == lines


def test_a_log_sends_no_escape_sequence_to_a_terminal(tmp_path: Path) -> None:
    log = ChannelLog(tmp_path, "weechat")
    log.said("#sea", "anon", "\x1b[2Jgone \x07 \x9b31m \u202e \x02bold\x02 caf\xe9")
    log.topic("#sea", "anon", "\x1b]0;title\x07")
    (file,) = (tmp_path / "#sea").iterdir()
    first, second = file.read_text("utf-8").splitlines()
    assert first.endswith("\tanon\t^[[2Jgone ^G <U+009B>31m <U+202E> \x02bold\x02 caf\xe9")
    assert "^[]0;title^G" in second
    assert not {"\x1b", "\x07", "\x9b"} & set(first + second)


def test_each_channel_has_a_log_folder_of_its_own() -> None:
    channels = ["#a-b", "#a/b", "#a b"[:2] + "\\b", "#a.", "#a", "##", "#\xe9", "#\xc9", "#.."]
    folders = [folder_name(channel) for channel in channels]
    assert len({folder.lower() for folder in folders}) == len(channels)
    assert folder_name("#a-b") == "#a-b"
    assert folder_name("#\xe9") == "#\xe9"
    assert not [folder for folder in folders if set(folder) & set("/\\") or folder.startswith(".")]
