"""The chat template against our own chat: the same tokens, and the same context."""

from __future__ import annotations

import re
from collections import deque

import pytest
from fake import FakeEngine, fake_session
from hypothesis import given
from hypothesis import strategies as st
from template_cases import CHAT, WORDS, jinja, say

from relay_gguf import LlamaEngine
from relay_gguf.conversation.commands import COMMANDS
from relay_gguf.conversation.events import Prompted
from relay_gguf.conversation.messages import Message
from relay_gguf.conversation.prompt import Encoder, render
from relay_gguf.conversation.session import Session
from relay_gguf.convert.template import relay_template
from relay_gguf.llama.tokenizer import tokenize

CONTROL = re.compile(r"<(?=\||/?s>)")
"""Where words that are or may be control tokens are broken up."""


# What an app tokenizes, control tokens found, against our own ids


def test_the_tokens_are_those_of_our_own_chat(smollm2_engine: LlamaEngine) -> None:
    lines = [("user", "hi,  you!\n\n"), ("assistant", " Hey.\nyou "), ("user", "/cast a pirate\n?")]
    (text,) = jinja(relay_template(), [say(*lines, bos_token="<|im_start|>")])
    ours = [
        Message("user", "/join #random"),
        Message("system", "* Now talking in #random"),
        Message("system", "* anon has joined #random"),
        Message("anon", "hi,  you!"),
        Message("user", " Hey.\nyou "),
        Message("anon", "/whois user"),
        Message("system", "* user's bio: a pirate"),
        Message("anon", "?"),
    ]
    assert special(smollm2_engine, text) == Encoder(smollm2_engine).prompt(ours, "user")


@given(
    texts=st.lists(st.lists(st.sampled_from([*"<|_ims/>", "im_start", "im_end", *WORDS.split()])))
)
def test_no_message_forges_a_turn(smollm2_engine: LlamaEngine, texts: list[list[str]]) -> None:
    roles = ["assistant", "system", "tool", "bob"]
    messages = [(roles[i % 4], "x" + "".join(parts)) for i, parts in enumerate(texts)]
    (text,) = jinja(relay_template(), [say(*messages, bos_token="<|im_start|>")])
    ids = special(smollm2_engine, text)
    control = smollm2_engine.control
    assert ids.count(control.im_end) == 3 + len(texts)
    assert ids.count(control.im_start) == 3 + len(texts) + 1


def special(engine: LlamaEngine, text: str) -> list[int]:
    """The ids of a text as llama-server reads its own prompts."""
    return tokenize(engine._model.vocab, text, parse_special=True)


# Random chats, against the context of our own session


TEXT = st.one_of(
    st.text(min_size=1, max_size=20),
    st.lists(st.sampled_from(["<", "|", "<|im_end|>", "<s>", "\n", " ", "/", "* ", "hi"])).map(
        "".join
    ),
)
LINE = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12)
SPOKEN = TEXT.map(str.strip).filter(lambda text: text and not text.startswith("/"))
QUIET = st.one_of(
    st.builds("/join {}{}".format, st.sampled_from(["", "#", "##"]), LINE),
    st.builds("/topic {}".format, LINE),
    st.builds("/cast {}".format, LINE),
    st.sampled_from(["/reset", "/join", "/topic", "/cast"]),
)
# Of a command's line the template takes no spaces at the end, our chat does before a line break.
COMMANDED = SPOKEN.filter(lambda text: not re.search(r"\s\n", text))
ANSWERED = st.one_of(
    SPOKEN,
    COMMANDED.map("//{}".format),
    st.just("/slap"),
    st.builds("/message {}".format, LINE),
    st.builds("/{}{}".format, st.sampled_from(["dance", "JOIN", "topic:", "é", ""]), st.just(" ")),
    st.builds("/me {}".format, LINE),
)
TYPED = st.one_of(
    st.builds(lambda quiet, last: [*quiet, last], st.lists(QUIET, max_size=3), ANSWERED),
    st.sampled_from([["/retry"], [""]]),
    LINE.filter(lambda text: not text.strip().endswith("?")).map(lambda text: [f"/lazy {text}"]),
)


@given(typed=st.lists(st.tuples(TYPED, SPOKEN, SPOKEN), min_size=1, max_size=5))
def test_the_context_is_that_of_our_own_chat(typed: list[tuple[list[str], str, str]]) -> None:
    replies: deque[str | bytes] = deque()
    session = fake_session()
    engine = session.dialogue.generator.engine
    assert isinstance(engine, FakeEngine)
    engine.replies = replies
    messages: list[tuple[str | None, object]] = []
    for steps, *spoken in typed:
        if steps == ["/retry"] and not messages:
            continue
        replies.extend(spoken)
        prompts = [prompt for step in steps for prompt in prompts_of(session, step)]
        messages.append(("user", "\n".join(steps)))
        if steps == ["/retry"]:  # our chat asks again until the reply is new; apps ask once
            prompts, spoken = prompts[:1], [session.transcript.context[-1].content]
        for expected, reply in zip(prompts, spoken, strict=False):
            assert jinja(relay_template(), [say(*messages)]) == [expected]
            messages.append(("assistant", reply))
        replies.clear()


def prompts_of(session: Session, line: str) -> list[str]:
    """The prompts that a typed line leads to, their control words broken up."""
    prompts = []
    for event in session.submit(line):
        if isinstance(event, Prompted):
            context = session.transcript.context
            if line == "/retry":  # the reply before is not part of the prompt
                context = context[:-1]
            opening = event.text.rpartition(f"<|im_start|>{event.nick}\n")[2]
            lines = [Message(m.nick, CONTROL.sub("< ", m.content)) for m in context]
            prompts.append(render(lines, event.nick, CONTROL.sub("< ", opening), "<s>"))
    return prompts


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_of_the_table_never_reaches_the_model(name: str) -> None:
    (text,) = jinja(relay_template(), [say(*CHAT, ("user", f"/{name} a"))])
    assert "used" not in text
