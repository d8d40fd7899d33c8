"""What commands show in a terminal, screen by screen."""

from __future__ import annotations

import pytest
from fake import fake_session
from screens import chatting

SCREENS = {
    "a refused command is a notice": (
        [],
        "/join\r",
        """
            22:13 * Invalid: Missing channel name.
            [#random]









             anon  #random  91/1048576  fake
            """,
    ),
    "a new scene": (
        [],
        "/join #boston\r",
        """
            22:13 <anon> /join #boston
            22:13 * Now talking in #boston
            22:13 * user has joined #boston
            [#boston]







             anon  #boston  91/1048576  fake
            """,
    ),
    "a command that nobody knows": (
        ["Splendid!"],
        "/dance wildly\r",
        """
            22:13 <anon> /dance wildly
            22:13 * anon used /dance wildly
            22:13 <user> Splendid!
            [#random]







             anon  #random  164/1048576  4.5 t/s
            """,
    ),
    "an empty line is silence": (
        ["Well?"],
        "\r",
        """
            22:13 <anon> ...
            22:13 <user> Well?
            [#random]








             anon  #random  115/1048576  2.5 t/s
            """,
    ),
    "retry keeps the old reply": (
        ["one", "two"],
        "count\r/retry\r",
        """
            22:13 <anon> count
            22:13 <user> one
            22:13 * user's reply is replaced (2/2),
                    /prev brings it back:
            22:13 <user> two
            [#random]





             anon  #random  115/1048576  1.5 t/s
            """,
    ),
    "prev brings the old reply back": (
        ["one", "two"],
        "count\r/retry\r/prev\r",
        """
            22:13 <anon> count
            22:13 <user> one
            22:13 * user's reply is replaced (2/2),
                    /prev brings it back:
            22:13 <user> two
            22:13 * user's reply 1/2:
            22:13 <user> one
            [#random]



             anon  #random  115/1048576  1.5 t/s
            """,
    ),
    "undo puts the text back": (
        ["one"],
        "count the ships\r/undo\r",
        """
            22:13 <anon> count the ships
            22:13 <user> one
            22:13 * Took back: count the ships
            [#random] count the ships







             anon  #random  91/1048576  1.5 t/s
            """,
    ),
    "edit puts the text back": (
        ["one"],
        "count the ships\r/edit\r",
        """
            22:13 <anon> count the ships
            22:13 <user> one
            [#random] /edit count the ships








             anon  #random  125/1048576  1.5 t/s
            """,
    ),
    "lazy writes for the human": (
        ["hi there", "hello"],
        "/lazy\r",
        """
            22:13 <anon> hi there
            22:13 <user> hello
            [#random]








             anon  #random  120/1048576  2.5 t/s
            """,
    ),
    "lazy? writes a draft": (
        ["hi there"],
        "/lazy?\r",
        """
            [#random] hi there










             anon  #random  91/1048576  4.0 t/s
            """,
    ),
}


@pytest.mark.parametrize(("replies", "typed", "screen"), SCREENS.values(), ids=SCREENS.keys())
def test_the_screen_shows_the_command(replies: list[str], typed: str, screen: str) -> None:
    with chatting(fake_session(replies)) as chat:
        chat.type(typed)
        chat.shows(screen)
