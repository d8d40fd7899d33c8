"""Nicks, channels, user names and masks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.irc.protocol.names import (
    clean,
    clean_user,
    fold,
    full_mask,
    matches,
    valid_channel,
    valid_nick,
)

DATA = Path(__file__).parent / "data"


def cases(name: str) -> list[dict[str, Any]]:
    data: dict[str, list[dict[str, Any]]] = yaml.safe_load((DATA / name).read_text("utf-8"))
    return data["tests"]


@pytest.mark.parametrize("case", cases("mask-match.yaml"), ids=lambda case: case["mask"])
def test_masks_match_as_the_parser_tests_say(case: dict[str, Any]) -> None:
    assert [text for text in case["matches"] if not matches(case["mask"], text)] == []
    assert [text for text in case["fails"] if matches(case["mask"], text)] == []


@pytest.mark.parametrize(
    "nick", ["anon", "a", "user2", "[x]", "{}|`_^\\", "jürgen", "漢字", "a-b", "x" * 30]
)
def test_nicks_that_are_allowed(nick: str) -> None:
    assert valid_nick(nick, 30)


@pytest.mark.parametrize(
    "nick",
    [
        *("", "1st", "-x", "a b", "a,b", "a!b", "a@b", "#a", "a*", "a?", ":a", "&a", "a.b", "$a"),
        *("~a", "+a", "a\x02b", "a\u202eb", "a\u200b", "x" * 31, "漢" * 11),
    ],
)
def test_nicks_that_are_not_allowed(nick: str) -> None:
    assert not valid_nick(nick, 30)


@pytest.mark.parametrize("name", ["#a", "##a", "#a.b:c!", "#漢字", "#" + "x" * 63])
def test_channels_that_are_allowed(name: str) -> None:
    assert valid_channel(name, 64)


@pytest.mark.parametrize("name", ["", "a", "#", "&a", "#a b", "#a,b", "#a\x07", "#" + "x" * 64])
def test_channels_that_are_not_allowed(name: str) -> None:
    assert not valid_channel(name, 64)


def test_folding_is_for_ascii_alone() -> None:
    assert fold("ANÖN[]\\") == "anÖn[]\\"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain", "plain"),
        ("a\tb", "a b"),
        ("\x02bold\x02 \x0304red\x0f", "\x02bold\x02 \x0304red\x0f"),
        ("a\x01b\x00c\x1b[31m\x7f\x85\u2028", "abc[31m"),
    ],
)
def test_control_characters_are_left_out_and_formatting_stays(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_a_topic_is_cut_between_characters() -> None:
    assert clean("漢字漢字", 11) == "漢字漢"


def test_a_user_name_keeps_what_a_mask_allows() -> None:
    assert clean_user("a b!c@d\x02", 20) == "abcd"
    assert clean_user("!@", 20) == "user"
    assert clean_user("x" * 50, 20) == "x" * 20


@pytest.mark.parametrize(
    ("mask", "full"),
    [
        ("nick", "nick!*@*"),
        ("nick!user", "nick!user@*"),
        ("user@host", "*!user@host"),
        ("n!u@h", "n!u@h"),
        ("", "*!*@*"),
    ],
)
def test_masks_get_all_their_parts(mask: str, full: str) -> None:
    assert full_mask(mask) == full


def test_no_mask_takes_long() -> None:
    assert not matches("*a" * 200 + "b", "a" * 400)
    assert matches("*a" * 200 + "*", "a" * 400)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_masks_match_what_patterns_match(mask: str, text: str) -> None:
    regex = "".join({"*": ".*", "?": "."}.get(c, c) for c in mask)
    assert matches(mask, text) == bool(re.fullmatch(regex, text))
