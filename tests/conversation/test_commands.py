"""What a typed line means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.conversation.commands import COMMANDS, Call, Say, Wildcard, parse, spell


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("", Say("...")),
        ("   ", Say("...")),
        ("  hi  there ", Say("hi  there")),
        ("x/y", Say("x/y")),
        ("* waves", Say("* waves")),
        ("//etc/hosts", Say("/etc/hosts")),
        ("//", Say("/")),
        ("/join #x", Call("join", "#x")),
        ("/join   #x  ", Call("join", "#x")),
        ("/topic   spaced   out  ", Call("topic", "spaced   out")),
        ("/slap extra words", Call("slap", "extra words")),
        ("/lazy?", Call("lazy?", "")),
        # Names are matched whole and case-sensitively: the rest reaches the model.
        ("/JOIN #x", Wildcard("/JOIN", "#x")),
        ("/topic: no", Wildcard("/topic:", "no")),
        ("/slapp", Wildcard("/slapp", "")),
        ("/", Wildcard("/", "")),
        ("/ join", Wildcard("/", "join")),
        ("/names", Wildcard("/names", "")),
        ("/whois anon", Wildcard("/whois", "anon")),
        ("/nick bob", Wildcard("/nick", "bob")),
        ("/me waves", Wildcard("/me", "waves")),
        ("/topic\tx", Wildcard("/topic\tx", "")),
    ],
)
def test_a_line_is_a_message_a_command_or_one_for_the_model(
    line: str, meaning: Say | Call | Wildcard
) -> None:
    assert parse(line) == meaning


@given(st.text(min_size=1).map(str.strip).filter(bool))
def test_any_message_can_be_spelled(content: str) -> None:
    assert parse(spell(content)) == Say(content)


@given(st.text())
def test_any_line_means_something(line: str) -> None:
    meaning = parse(line)
    if isinstance(meaning, Call):
        assert meaning.name in COMMANDS
