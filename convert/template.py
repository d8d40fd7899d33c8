"""The chat template that gives Relay's commands to every app, and what other templates are.

`relay.jinja` is its source, and explains it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

from relay_gguf.conversation.prompt import IM_END, IM_START
from relay_gguf.gguf_file.header import Keys, Kind, Value

TemplateKind = Literal["relay", "chatml", "other", "none"]

MARK: Final = "{#- Relay chat template, version "
"""How ours begins; the version follows."""
CHATML: Final = "chatml"
"""A template that is only this name stands for llama.cpp's own ChatML."""
KEY: Final = "tokenizer.chat_template"
EOT: Final = "tokenizer.ggml.eot_token_id"
"""llama.cpp finds <|im_end|> by its text too; other programs read the key."""
BOS_BY_DEFAULT: Final = ("tekken", "llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral")
"""Pre-tokenizers with which llama.cpp adds BOS unless the file says otherwise."""
WITHOUT_BOS: Final = "{%- set bos_token = '' -%}\n"


def relay_template(*, bos: bool = True) -> str:
    """The template, as it is written into a file.

    Args:
        bos: whether prompts of the model begin with BOS. No app tells a template so, which gets
            BOS's text even where the file says add_bos_token = false.
    """
    source = _source()
    if bos:
        return source
    comment, end, rest = source.partition("-#}\n")
    return comment + end + WITHOUT_BOS + rest


def kind_of(template: str | None) -> TemplateKind:
    """What a file's template is: ours, of any version; one for ChatML's usual roles; or another."""
    if template is None or not template.strip():
        return "none"
    if template.lstrip().startswith(MARK):
        return "relay"
    if IM_START in template or template.strip() == CHATML:
        return "chatml"
    return "other"


def embedded(keys: Keys) -> Keys:
    """The keys of a file with our template in place of all of its own, and the end of a turn.

    Only where its vocabulary has ChatML, without which no ids frame a turn; else they stay.
    """
    tokens = keys.get("tokenizer.ggml.tokens")
    if tokens is None or not {IM_START, IM_END} <= set(tokens.value):
        return keys
    template = Value(relay_template(bos=_adds_bos(keys)), Kind.STRING)
    # llama.cpp takes tokenizer.chat_template.tool_use before ours, once an app offers tools.
    kept = {n: v for n, v in keys.items() if n == KEY or not n.startswith((f"{KEY}.", f"{KEY}s"))}
    end = Value(list(tokens.value).index(IM_END), Kind.UINT32)
    return kept | {KEY: template, EOT: end}


def _adds_bos(keys: Keys) -> bool:
    """Whether llama.cpp begins a prompt with BOS (llama-vocab.cpp, where the key is absent)."""
    if (said := keys.get("tokenizer.ggml.add_bos_token")) is not None:
        return bool(said.value)
    model, pre = (keys.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    spm = model is not None and model.value == "llama"
    return spm or (pre is not None and pre.value in BOS_BY_DEFAULT)


@cache
def _source() -> str:
    return Path(__file__).with_name("relay.jinja").read_text("utf-8")
