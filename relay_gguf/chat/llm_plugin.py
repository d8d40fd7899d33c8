"""Relay as a model of the program `llm`: `llm chat -m relay`. Only `llm` imports this file.

`llm` keeps a conversation as what was typed and what was answered, so that is what a conversation
begun in another process is made from again: each line is typed once more into a session whose
model says what it said then.
"""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import llm

from relay_gguf.conversation.commands import Call, parse
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Event, Failed, Notice, Piece, Prompted, Said
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.messages import DEFAULT_CHANNEL, NICKS, Message, Role, is_notice
from relay_gguf.conversation.session import Session
from relay_gguf.errors import ModelError, RelayError
from relay_gguf.sampling import SamplingParams
from relay_gguf.settings import ChatSettings, usual_settings

if TYPE_CHECKING:
    from relay_gguf.engine import Engine

Told = list[tuple[str, str]]
"""What was typed and what was answered, in turn."""
SAMPLING: Final = tuple(field.name for field in fields(SamplingParams))
ELSEWHERE: Final = {
    "lazy": "relay-gguf chat has it",
    "lazy?": "relay-gguf chat has it",
    "set": "start with an option, as -o temperature 0.7",
    "save": "llm keeps everything itself",
    "load": "llm -c goes on with the last conversation, llm --cid with any",
    "export": "llm logs shows the conversation",
    "exit": "type exit",
    "quit": "type exit",
}
"""Commands of a chat that do nothing here → what does it."""


@llm.hookimpl
def register_models(register: Any) -> None:
    """Add Relay, and the demo model, to the models of `llm`."""
    register(Relay("relay"))
    register(Relay("relay-demo"))


class ReplyOptions(llm.Options):
    """How tokens are chosen, as for `relay-gguf chat`; what is not given is as there."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_last_n: int | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    loop_guard: int | None = None


class Relay(llm.Model):
    """A model in an IRC channel. The file is loaded with the first prompt, and kept."""

    can_stream = True

    Options = ReplyOptions  # type: ignore[assignment] # a subclass will do

    def __init__(self, model_id: str) -> None:
        """Load nothing yet."""
        self.model_id = model_id
        self._engine: Engine | None = None
        self._session: Session | None = None
        self._told: Told = []

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        """Do what a line says, and yield the reply, or what a command without a reply tells.

        Raises:
            llm.ModelError: the model cannot be used, or failed.
        """
        try:
            yield from self._execute(prompt, response, conversation)
        except RelayError as error:
            raise llm.ModelError(str(error)) from error

    def _execute(self, prompt: Any, response: Any, conversation: Any) -> Iterator[str]:
        given = {name: getattr(prompt.options, name) for name in SAMPLING}
        settings = usual_settings(given)
        system, told = history(prompt, conversation)
        line = prompt.prompt
        if name := elsewhere(line):
            text = f"/{name} does nothing in llm: {ELSEWHERE[name]}."
            if told == self._told:
                self._told = [*told, (line, text)]
            yield text
            return
        session = self._at(told, system, settings)
        said = ""
        for text in replies(session.submit(line), response):
            said += text
            yield text
        self._session, self._told = session, [*told, (line, said)]

    def _at(self, told: Told, system: str, settings: ChatSettings) -> Session:
        """A session in which so much was said: the last one, or a new one."""
        session, self._session = self._session, None
        if session is None or told != self._told or not told:
            generator = _Replayed(self._loaded(settings), settings.sampling)
            channel, topic, bio = self._scene(settings, " ".join(system.split()))
            session = Session(Dialogue(generator, channel=channel))
            deque(session.start(topic, bio), maxlen=0)
            for line, answer in told:
                if not elsewhere(line):
                    generator.answer = answer
                    deque(session.submit(line), maxlen=0)
            generator.answer = None
        params = settings.sampling
        if params != session.dialogue.generator.params:
            session.dialogue.generator.params = params
            if params.seed is not None:
                session.dialogue.generator.reseed(params.seed)
        return session

    def _scene(self, settings: ChatSettings, system: str) -> tuple[str, str, str]:
        """Channel, topic and bio that a conversation begins with; a system prompt is the bio."""
        from relay_gguf.models.demo import SCENE

        asked = (settings.channel, settings.topic, system or settings.cast)
        if self.model_id == "relay-demo" and asked == (DEFAULT_CHANNEL, "", ""):
            return SCENE.channel, SCENE.topic, SCENE.bio
        return asked

    def _loaded(self, settings: ChatSettings) -> Engine:
        from relay_gguf.models.demo import made_demo
        from relay_gguf.models.opening import open_engine

        if self._engine is None:
            path = made_demo() if self.model_id == "relay-demo" else file_here(settings)
            engine = open_engine(path, settings)
            atexit.register(engine.close)
            self._engine = engine
        return self._engine


class _Replayed(Generator):
    """Says `answer` while there is one, else what the model says."""

    answer: str | None = None

    def speak(self, lines: Any, role: Role, opening: str = "") -> Iterator[Event]:
        """Generate as any other; a reply of earlier can be continued."""
        if self.answer is None:
            yield from super().speak(lines, role, opening)
        else:
            yield Said(Message(self.nicks[role], opening + self.answer, cut=True), reason="stop")


def elsewhere(line: str) -> str:
    """The command of a line, if it does nothing in `llm`; else empty."""
    match parse(line):
        case Call(name) if name in ELSEWHERE:
            return name
    return ""


def file_here(settings: ChatSettings) -> Path:
    """The model's file, of those on this disk: `llm` is not asked to download gigabytes.

    Raises:
        ModelError: there is none.
    """
    from relay_gguf.models.locate import find
    from relay_gguf.models.suggest import suggest

    if settings.model is not None:
        if path := find(settings.model):
            return path
        raise ModelError(
            f"{settings.model} is not on this disk. `relay-gguf download {settings.model}` gets it."
        )
    found = suggest(settings.load, settings.min_speed)
    there = [
        c.file for c in (found.taken, *found.candidates) if c.plan and c.file.ftype in found.here
    ]
    if not there:
        raise ModelError(
            "None of Relay's files is on this disk. `relay-gguf download` gets the best one for "
            "this machine; -m relay-demo takes the demo model."
        )
    return found.here[there[0].ftype]


def history(prompt: Any, conversation: Any) -> tuple[str, Told]:
    """The system prompt of a conversation, and what was said in it before this prompt."""
    if not hasattr(prompt, "messages"):  # llm before 0.32
        before = conversation.responses if conversation else []
        system = next((one.prompt.system for one in before), prompt.system)
        return system or "", [(one.prompt.prompt, one.text()) for one in before]
    system, lines = "", []
    for message in prompt.messages:
        text = "".join(getattr(part, "text", "") or "" for part in message.parts)
        if message.role == "system":
            system = system or text
        else:
            lines.append((message.role, text))
    told: Told = []
    for index, (role, text) in enumerate(lines[:-1]):
        if role == "user":
            following, answer = lines[index + 1]
            told.append((text, answer if following == "assistant" else ""))
    return system, told


def replies(events: Iterator[Event], response: Any) -> Iterator[str]:
    """The text of a reply as it comes; without one, what IRC and the program told.

    Raises:
        ModelError: there is none, since something failed.
    """
    notices, replied = [], False
    read = reused = 0
    for event in events:
        match event:
            case Piece(text):
                replied = True
                yield text
            case Prompted(evaluated=evaluated, reused=reused):
                read = evaluated + reused
            case Said(message, tokens=tokens, reason=reason):
                if reason is None and is_notice(message):
                    notices.append(message.content)
                elif reason is not None:
                    response.set_usage(input=read, output=tokens, details={"cached": reused})
                elif not is_notice(message) and message.nick == NICKS["model"]:
                    notices.append(message.content)
            case Notice(text):
                notices.append(text)
            case Failed(text):
                raise ModelError(text)
            case _:
                pass
    if not replied:
        yield "\n".join(notices) or "* Nothing was said."
