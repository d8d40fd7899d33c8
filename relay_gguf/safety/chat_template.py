"""The chat template in a model's file, rendered; and a prompt's ids, which no text can forge.

Templates are rendered as llama-cpp-python and transformers do it: Jinja in a sandbox, blocks
trimmed. What is in a message may look like a control token (an answer that ends in `<|eot_id|>`
would end its own judgement): such texts are marked before they are rendered, and cut there when
the prompt becomes ids, so that they stay text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NoReturn, Protocol

from relay_gguf.errors import ModelError

MARK: Final = "\ue0f1"
"""Stands inside a text that must not become a control token: a private character of Unicode."""

Talk = Sequence[Mapping[str, str]]
"""Messages: each a `role` and a `content`."""


class PromptVocabulary(Protocol):
    """What makes ids of a prompt: an engine."""

    def tokenize_prompt(self, text: str) -> list[int]:
        """The ids of a text, in which texts of control tokens are these tokens; no BOS."""

    def control_texts(self) -> frozenset[str]:
        """The texts of all control tokens."""


def render(template: str, talk: Talk, *, bos: str = "", eos: str = "", **names: Any) -> str:
    """A prompt as text, up to where the answer begins.

    Args:
        template: Jinja, `tokenizer.chat_template` of a file.
        talk: the messages.
        bos, eos: the texts of these tokens.
        names: further names that the template may use.

    Raises:
        ModelError: the template is broken, or refuses these messages.
    """
    from jinja2 import TemplateError

    def refuse(why: str) -> NoReturn:
        raise TemplateError(why)

    try:
        return str(
            _compiled(template).render(
                messages=[dict(message) for message in talk],
                bos_token=bos,
                eos_token=eos,
                add_generation_prompt=True,
                raise_exception=refuse,
                strftime_now=lambda form: datetime.now().strftime(form),
                **names,
            )
        )
    except Exception as error:  # whatever a template does in Python's own types
        raise ModelError(
            f"The chat template cannot be used: {type(error).__name__}: {error}. Another form of "
            "the prompt can be given in a TOML file: docs/safety.md has the keys."
        ) from error


@cache
def _compiled(template: str) -> Any:
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class GenerationBlock(Extension):
        """`{% generation %}` marks what was trained on, and changes nothing."""

        tags = {"generation"}  # noqa: RUF012 - jinja2's own declaration

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _as_json
    return environment.from_string(template)


def _as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def harmless_text(text: str, control: Iterable[str]) -> str:
    """A text in which each control token's text has a `MARK` behind its first letter."""
    found = text.replace(MARK, "")
    for token in sorted(control, key=len, reverse=True):
        if len(token) > 1 and token in found:
            found = found.replace(token, token[0] + MARK + token[1:])
    return found


def prompt_ids(vocabulary: PromptVocabulary, text: str) -> list[int]:
    """The ids of a rendered prompt; at each `MARK` a new piece begins, so no token spans it."""
    return [i for piece in text.split(MARK) for i in vocabulary.tokenize_prompt(piece)]
