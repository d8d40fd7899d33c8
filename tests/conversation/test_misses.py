"""Commands that are nearly ones, and options that are set."""

from __future__ import annotations

import pytest
from fake import fake_session, run
from told import notices


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/slapp", "/slap"),
        ("/JOIN #a", "/join"),
        ("/who", "/context"),
        ("/list", "/load"),
        ("/part", "/exit"),
        ("/clear", "/reset"),
        ("/Retry", "/retry"),
    ],
)
def test_near_misses_go_to_the_model_and_are_told(typed: str, meant: str) -> None:
    session = fake_session(["eh?"])
    (note,) = notices(run(session, typed))
    name, _, rest = typed.partition(" ")
    assert note.startswith(f"* {name} was sent to the model; {meant} is the command: ")
    said = [message.content for message in session.transcript.context]
    assert said[-3:] == [f"{name} {rest}", f"* anon used {name} {rest}", "eh?"]


@pytest.mark.parametrize("typed", ["/dance wildly", "/", "/me sighs", "/nick bob", "/tell a joke"])
def test_inventions_are_not_near_misses(typed: str) -> None:
    assert notices(run(fake_session(), typed)) == []


@pytest.mark.parametrize("typed", ["/join #a #b", "/join #a,#b"])
def test_one_channel_at_a_time(typed: str) -> None:
    session = fake_session()
    assert notices(run(session, typed)) == [
        "* One channel at a time: a scene plays in one place. /join #boston"
    ]
    assert session.transcript.channel == "random"


def test_a_cast_without_a_bio_shows_what_one_looks_like() -> None:
    (notice,) = notices(run(fake_session(), "/cast"))
    assert notice.startswith("* Invalid: Missing description. A bio is ")
    assert "/cast I'm Mia" in notice
