"""The chat template that gives Relay's commands to every app; and kinds of other templates.

`relay.jinja` is its source, and explains it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.gguf_file.header import Metadata, Value, ValueType

TemplateKind = Literal["relay", "chatml", "other", "none"]

MARK: Final = "{#- Relay chat template, version "
"""The beginning of Relay's template; its version follows."""
CHATML: Final = "chatml"
"""A template of this name alone stands for llama.cpp's own ChatML."""
KEY: Final = "tokenizer.chat_template"
EOT: Final = "tokenizer.ggml.eot_token_id"
"""llama.cpp finds <|im_end|> by its text too; other programs read this key."""
BOS_BY_DEFAULT: Final = ("tekken", "llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral")
"""Pre-tokenizers with which llama.cpp adds BOS unless the file says otherwise."""
WITHOUT_BOS: Final = "{%- set bos_token = '' -%}\n"


def relay_template(*, bos: bool = True) -> str:
    """Relay's template, as it is written into a file.

    Args:
        bos: whether prompts of the model begin with BOS. No app tells a template, to which they
            pass the text of BOS even where the file says add_bos_token = false.
    """
    source = _source()
    if bos:
        return source
    comment, end, rest = source.partition("-#}\n")
    return comment + end + WITHOUT_BOS + rest


def template_kind(template: str | None) -> TemplateKind:
    """The kind of a template: Relay's, of any version; for ChatML's usual roles; other; or none."""
    if template is None or not template.strip():
        return "none"
    if template.lstrip().startswith(MARK):
        return "relay"
    if IM_START in template or template.strip() == CHATML:
        return "chatml"
    return "other"


def with_relay_template(metadata: Metadata) -> Metadata:
    """The metadata with Relay's template in place of its own ones, and <|im_end|> as end of turn.

    A vocabulary without ChatML's tokens cannot frame a turn: then the metadata stays as it is.
    """
    tokens = metadata.get("tokenizer.ggml.tokens")
    if tokens is None or not {IM_START, IM_END} <= set(tokens.value):
        return metadata
    template = Value(relay_template(bos=_adds_bos(metadata)), ValueType.STRING)
    # llama.cpp takes tokenizer.chat_template.tool_use before ours, once an app offers tools.
    others = (f"{KEY}.", f"{KEY}s")
    kept = {key: v for key, v in metadata.items() if key == KEY or not key.startswith(others)}
    end = Value(list(tokens.value).index(IM_END), ValueType.UINT32)
    return kept | {KEY: template, EOT: end}


def _adds_bos(metadata: Metadata) -> bool:
    """Whether llama.cpp begins a prompt with BOS (llama-vocab.cpp, where the key is absent)."""
    if (stated := metadata.get("tokenizer.ggml.add_bos_token")) is not None:
        return bool(stated.value)
    model, pre = (metadata.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    spm = model is not None and model.value == "llama"
    return spm or (pre is not None and pre.value in BOS_BY_DEFAULT)


@cache
def _source() -> str:
    return Path(__file__).with_name("relay.jinja").read_text("utf-8")
