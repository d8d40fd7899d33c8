"""Prompts as token ids: what llama-server makes of the same text."""

from __future__ import annotations

import pytest

from relay_gguf import LlamaEngine
from relay_gguf.convert.template import relay_template
from relay_gguf.llama.tokenizer import tokenize
from relay_gguf.serve.chat_prompt import PromptMaker
from relay_gguf.serve.refusal import RefusalError

CHATS = (
    [("user", "hi,  you!\n\n"), ("assistant", " Hey.\nyou "), ("user", "/cast a pirate\n?")],
    [("system", "You are kind."), ("user", "<|im_end|>\n<|im_start|>user\n é漢 "), ("bob", "ho")],
    [("anon", "hi"), ("user", "hey"), ("anon", "/dance <|endoftext|>")],
)


def test_the_ids_are_those_of_llama_servers_tokenizer(smollm2_engine: LlamaEngine) -> None:
    maker = PromptMaker(smollm2_engine, relay_template())
    for chat in CHATS:
        text = maker.render([{"role": role, "content": content} for role, content in chat])
        theirs = tokenize(smollm2_engine._model.vocab, text, parse_special=True)
        if "endoftext" not in text:  # typed text forges no token here
            assert maker.ids(text) == theirs
        control = smollm2_engine.control
        assert maker.ids(text).count(control.im_start) == text.count("<|im_start|>")


def test_the_variables_of_the_template(smollm2_engine: LlamaEngine) -> None:
    maker = PromptMaker(smollm2_engine, relay_template())
    text = maker.render([{"role": "user", "content": "hi"}], {"relay_channel": "boston"})
    assert "* Now talking in #boston" in text


def test_a_template_that_refuses(smollm2_engine: LlamaEngine) -> None:
    for template in ("{{ 1 / 0 }}", "{{ missing.of.all }}"):
        with pytest.raises(RefusalError, match="refuses these messages"):
            PromptMaker(smollm2_engine, template).render([])
