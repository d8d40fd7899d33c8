"""What is typed, pasted and written, in a terminal, screen by screen."""

from __future__ import annotations

import pytest
from fake import fake_session
from screens import chatting

SCREENS = {
    "escape sequences are shown": (
        ["\x1b[2J\x1b[31mred\x07 \x9b1A\u202eevil"],
        "\x1b[200~hi \x1b]0;title\x07\x1b[201~\r",
        """
            22:13 <anon> hi ^[]0;title^G
            22:13 <user> ^[[2J^[[31mred^G
                  <U+009B>1A<U+202E>evil
            [#random]







             anon  #random  145/1048576  12.5 t/s
            """,
    ),
    "a channel's name obeys nobody": (
        [],
        "\x1b[200~/join #a\x1b[31mb\x1b[201~\r",
        """
            22:13 <anon> /join #a^[[31mb
            22:13 * Now talking in #a^[[31mb
            22:13 * user has joined #a^[[31mb
            [#a^[[31mb]







             anon  #a^[[31mb  94/1048576  fake
            """,
    ),
    "a reply has lines": (
        ["one\n  two\n\nthree"],
        "count\r",
        """
            22:13 <anon> count
            22:13 <user> one
                    two

                  three
            [#random]





             anon  #random  128/1048576  8.0 t/s
            """,
    ),
    "wide letters": (
        ["東京都は日本の首都です。人口は世界一です。"],
        "東京は?\r",
        """
            22:13 <anon> 東京は?
            22:13 <user> 東京都は日本の首都です。人
                  口は世界一です。
            [#random]







             anon  #random  180/1048576  31.5 t/s
            """,
    ),
    "a long word": (
        [f"see https://example.org/{'abc' * 12}"],
        "where?\r",
        """
            22:13 <anon> where?
            22:13 <user> see
                  https://example.org/abcabcabcabca
                  bcabcabcabcabcabcabcabc
            [#random]






             anon  #random  173/1048576  30.0 t/s
            """,
    ),
    "a pasted text keeps its lines": (
        [],
        "\x1b[200~one\ntwo\rthree\r\nfour\x1b[201~",
        """
            [#random] one
                      two
                      three
                      four







             anon  #random  91/1048576  fake
            """,
    ),
    "a pasted text waits for Enter": (
        ["Aye."],
        "\x1b[200~one\ntwo\n\x1b[201~\r",
        """
            22:13 <anon> one
                  two
            22:13 <user> Aye.
            [#random]







             anon  #random  118/1048576  2.0 t/s
            """,
    ),
    "Alt-Enter breaks the line": (
        ["Aye."],
        "one\x1b\rtwo\rthree\x1b\rfour",
        """
            22:13 <anon> one
                  two
            22:13 <user> Aye.
            [#random] three
                      four






             anon  #random  118/1048576  2.0 t/s
            """,
    ),
    "Ctrl-C clears the input": (
        [],
        "hello\x03you",
        """
            [#random] you










             anon  #random  91/1048576  fake
            """,
    ),
    "Ctrl-C on an empty line asks": (
        [],
        "\x03",
        """
            22:13 * Ctrl-C again leaves; so does
                    Ctrl-D.
            [#random]








             anon  #random  91/1048576  fake
            """,
    ),
    "a command is completed": (
        [],
        "/jo\t",
        """
            [#random] /join










             anon  #random  91/1048576  fake
            """,
    ),
    "an argument is completed": (
        [],
        "/export j\t",
        """
            [#random] /export jsonl










             anon  #random  91/1048576  fake
            """,
    ),
}


@pytest.mark.parametrize(("replies", "typed", "screen"), SCREENS.values(), ids=SCREENS.keys())
def test_the_screen_shows_the_chat(replies: list[str], typed: str, screen: str) -> None:
    with chatting(fake_session(replies)) as chat:
        chat.type(typed)
        chat.shows(screen)
