"""The same prompts answered by each file, always with the likeliest token, and where they part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from relay_gguf.conversation.messages import NICKS
from relay_gguf.conversation.prompt import Encoder
from relay_gguf.display import one_line
from relay_gguf.engine import Token
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.sampling import SamplingParams

from .measure import Computing
from .model_file import ModelFile
from .scenes import Scene

N_PROMPTS: Final = 8
N_CTX: Final = 1024
GREEDY: Final = SamplingParams(
    temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.0, max_tokens=48, seed=0
)
PARTS: Final = "‖"
"""Stands where a reply parts from that of the first file."""


@dataclass(frozen=True, slots=True)
class GreedyReply:
    """A reply: its text, and the number of its first tokens that are those of the first file."""

    text: str
    alike: int
    alike_text: str
    n_tokens: int
    is_same: bool


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The line that was answered, and each file's reply, in the order of the files."""

    channel: str
    line: str
    replies: tuple[GreedyReply, ...]


def side_by_side_replies(
    files: Sequence[ModelFile], scenes: Sequence[Scene], computing: Computing
) -> list[SideBySide]:
    """Let each file answer the same prompts; the first one is what others are compared with.

    Raises:
        ModelError, MemoryShortError, SettingsError, EngineError: as for `LlamaEngine`.
    """
    prompts = [found for scene in scenes if (found := _before_reply(scene))][:N_PROMPTS]
    answers = [_answers(file, prompts, computing) for file in files]
    first = answers[0]
    return [
        SideBySide(
            channel=prompts[i][0].content.removeprefix("/join "),
            line=f"<{prompts[i][-1].nick}> {prompts[i][-1].content}",
            replies=tuple(_answered(each[i], first[i]) for each in answers),
        )
        for i in range(len(prompts))
    ]


def _before_reply(scene: Scene) -> Scene | None:
    """A scene up to the first of the model's lines after its middle."""
    for index in range(len(scene) // 2, len(scene)):
        if index and scene[index].nick == NICKS["model"]:
            return scene[:index]
    return None


def _answers(
    file: ModelFile, prompts: Sequence[Scene], computing: Computing
) -> list[list[tuple[int, bytes]]]:
    """Each reply as its tokens, with their bytes."""
    computing.watch(file.name, 0, len(prompts))
    n_ctx = min(N_CTX, file.model.context_length or N_CTX)
    options = replace(
        computing.options,
        n_slots=max(1, len(prompts)),
        n_ctx=n_ctx,
        kv_type="f16",
        kv_unified=False,
    )
    with BatchEngine(file.path, options, n_threads=computing.n_threads) as engine:
        encoder = Encoder(engine)
        room = n_ctx - GREEDY.max_tokens
        asked = [
            engine.ask(Continuation(tuple(encoder.prompt(prompt, NICKS["model"])[-room:]), GREEDY))
            for prompt in prompts
        ]
        found = []
        for done, each in enumerate(asked, 1):
            ids = [step.id for step in each.steps() if isinstance(step, Token)]
            found.append([(token, engine.piece(token)) for token in ids])
            computing.watch(file.name, done, len(prompts))
    return found


def _answered(reply: list[tuple[int, bytes]], first: list[tuple[int, bytes]]) -> GreedyReply:
    alike = 0
    for one, other in zip(reply, first, strict=False):
        if one[0] != other[0]:
            break
        alike += 1
    text = b"".join(piece for _, piece in reply).decode("utf-8", "replace")
    before = b"".join(piece for _, piece in reply[:alike]).decode("utf-8", "replace")
    return GreedyReply(text, alike, before, len(reply), reply == first)


def reply_lines(files: Sequence[ModelFile], found: Sequence[SideBySide]) -> Iterator[str]:
    """The replies below each other, and how long each file says what the first one says."""
    width = max(len(file.name) for file in files)
    for each in found:
        yield ""
        yield one_line(f"{each.channel}, after {each.line}")
        for index, (file, reply) in enumerate(zip(files, each.replies, strict=True)):
            said = reply.text if index == 0 else _marked(reply)
            yield f"  {one_line(file.name):{width}}  {one_line(said)}"
    yield ""
    for index, file in enumerate(files[1:], 1):
        replies = [each.replies[index] for each in found]
        n_same = sum(reply.is_same for reply in replies)
        parted = [reply.alike for reply in replies if not reply.is_same]
        after = f"; the others part after {sum(parted) / len(parted):.1f} tokens" if parted else ""
        yield one_line(f"{file.name}: {n_same} of {len(found)} replies are the same{after}.")


def _marked(reply: GreedyReply) -> str:
    if reply.is_same:
        return "the same"
    rest = reply.text[len(reply.alike_text) :]
    return f"{reply.alike_text}{PARTS}{rest}"


def replies_json(files: Sequence[ModelFile], found: Sequence[SideBySide]) -> list[dict[str, Any]]:
    """The replies, for programs."""
    return [
        {
            "channel": each.channel,
            "line": each.line,
            "replies": [
                {
                    "file": file.name,
                    "text": reply.text,
                    "tokens": reply.n_tokens,
                    "alike": reply.alike,
                }
                for file, reply in zip(files, each.replies, strict=True)
            ],
        }
        for each in found
    ]
