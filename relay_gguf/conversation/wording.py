"""How events are worded, alike in every front end."""

from __future__ import annotations

from .commands import Say, parse
from .events import Offered, Said, Trimmed
from .messages import ACTION, NICKS, Message, is_notice


def as_shown(message: Message, typed: str | None = None) -> tuple[str, str] | None:
    """A message of a chat as a nick and a text; None if another line says what it says.

    The nick is empty for a line of IRC's own. An action, `/me sighs`, is told by the line that
    follows; a `/me` without words is a command like any other.

    Args:
        message: what stands in the channel.
        typed: the line that wrote it there, which is shown as it was typed; empty if nobody typed
            it. None for a message that is shown again.
    """
    if is_notice(message):
        return "", emote(message) or message.content
    by_human = message.nick == NICKS["input"] and not message.generated
    acts = message.content.startswith(ACTION) and message.content.strip() != ACTION.strip()
    introduces = (
        by_human
        and message.content.startswith("/whois ")
        and not message.content.endswith(f" {NICKS['model']}")
    )
    if by_program(message) or (by_human and acts):
        return None
    if introduces and typed is not None and not typed.startswith("/whois "):
        return None  # one of several people: the bio that follows says all of it
    if typed is None or not by_human:
        return message.nick, message.content
    said = parse(typed)
    return (message.nick, said.content if isinstance(said, Say) else typed) if typed else None


def cut_mark(said: Said) -> str:
    """The line that follows a reply which was cut, with the reason; empty for a whole reply."""
    if not said.message.cut:
        return ""
    why = {
        "length": "at --max-tokens",
        "context": "the context is full",
        "failed": "the model failed",
        "loop": "it repeats itself",
    }
    return f"* cut ({why.get(said.reason or '', 'stopped')}); /continue goes on"


def choice_notice(offered: Offered) -> str:
    """What the user reads below replies that may be chosen from, without IRC's star."""
    if offered.count == 1:
        return "No other reply came."
    return f"Reply {offered.standing}/{offered.count} stands; /next NUMBER takes another."


def trim_notice(trimmed: Trimmed) -> str:
    """What the user reads when messages left a full context, without IRC's star."""
    count = len(trimmed.indices)
    return (
        f"The context is full: the {count} oldest messages ({trimmed.tokens} tokens) left it. "
        "The session keeps them."
    )


def lost_notice(lost: str, name: str | None) -> str:
    """What the user reads when the file of the session `lost` went away, without IRC's star."""
    return (
        f"The file of the session {lost} was removed or changed by another program. Nothing is "
        f"lost: all of it is saved anew as {name}."
    )


def by_program(message: Message) -> bool:
    """Whether a message is the /join with which the program opens a scene in the model's name."""
    joins = message.content.startswith("/join #") and not message.generated
    return message.nick == NICKS["model"] and joins


def emote(message: Message) -> str:
    """How people read what `/me sighs` put into the context: `* anon sighs`; else empty."""
    return "".join(
        f"* {nick} {message.content.removeprefix(begin)}"
        for nick in NICKS.values()
        if message.content.startswith(begin := f"* {nick} used {ACTION}")
        and message.content != begin
    )


def reading_note(done: int, total: int, seconds: float, since: float) -> str:
    """How far the model is with a long prompt, `read 512 of 2048 tokens, 12 s left`.

    Args:
        done: tokens that it has read.
        total: tokens that are to be read.
        seconds: in which it read them; the time left is unknown while this is 0.
        since: seconds that have passed since then.
    """
    note = f"read {done} of {total} tokens"
    if done <= 0 or seconds <= 0:
        return note
    left = round(max(1.0, (total - done) * seconds / done - since))
    return f"{note}, {left} s left" if left < 120 else f"{note}, {left // 60} min left"
