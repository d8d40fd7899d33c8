"""Mode letters, and what clients are told of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.irc.protocol.modes import (
    ModeChange,
    channel_modes,
    isupport_modes,
    signed_letters,
    spell_changes,
)


def test_the_letters_are_those_of_004_and_005() -> None:
    assert channel_modes() == ("biklmnostv", "bklov")
    assert isupport_modes() == ("b,k,l,imnst", "(ov)@+")


@pytest.mark.parametrize(
    ("text", "signed"),
    [
        ("", []),
        ("b", ["+b"]),
        ("+mv-n", ["+m", "+v", "-n"]),
        ("+-+k--l", ["+k", "-l"]),
    ],
)
def test_a_letter_has_the_last_sign_before_it(text: str, signed: list[str]) -> None:
    assert [sign + letter for sign, letter in signed_letters(text)] == signed


CHANGES = st.builds(ModeChange, st.sampled_from("+-"), st.sampled_from("imnstbklov"), st.just(""))


@given(st.lists(CHANGES))
def test_spelled_changes_read_the_same(changes: list[ModeChange]) -> None:
    (letters,) = spell_changes(changes)
    assert [ModeChange(*signed) for signed in signed_letters(letters)] == changes


def test_values_stand_behind_the_letters() -> None:
    changes = [ModeChange("+", "k", "key"), ModeChange("+", "i"), ModeChange("-", "o", "anon")]
    assert spell_changes(changes) == ["+ki-o", "key", "anon"]
