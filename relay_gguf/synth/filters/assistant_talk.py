"""Scenes in which an assistant speaks: a base model has read enough of them."""

from __future__ import annotations

import re
from typing import Final

PHRASES: Final = (
    r"\bas an? (?:\w+ )?(?:ai|artificial intelligence|language model|virtual assistant|"
    r"chat ?bot)\b",
    r"\bi(?:'m| am) (?:just |only )?an? (?:\w+ )?(?:ai|language model|chat ?bot|virtual assistant|"
    r"(?:digital|computer|helpful) assistant|computer program)\b",
    r"\b(?:large )?language model\b",
    r"\bhow (?:can|may) i (?:help|assist) you\b",
    r"\bi(?:'m| am) here to (?:help|assist)\b",
    r"\bhappy to (?:help|assist)(?: you)?(?: with)?\b",
    r"\b(?:is there )?anything else (?:i can|you(?:'d| would) like me to|you need)\b",
    r"\bi(?:'m| am) (?:sorry|afraid),? but i (?:can(?:no|')t|am not able|am unable)\b",
    r"\bi (?:can(?:no|')t|am unable to|am not able to) (?:assist|fulfil|provide|comply)\b",
    r"\bi don't have (?:personal|feelings|emotions|access to|the ability)",
    r"\bfeel free to (?:ask|reach out|let me know)\b",
    r"\bi hope this (?:helps|message finds)\b",
    r"\bplease (?:provide|specify|clarify) (?:me with )?(?:more|the|your|additional)\b",
    r"\b(?:trained|created|developed) by (?:openai|anthropic|google|meta|mistral|hugging ?face)\b",
    r"^(?:certainly|absolutely|of course|sure)[!,.] (?:here|i(?:'d| would| can|'ll))\b",
    r"<\|?\w+\|?>|\[/?INST\]|^#{1,4} \w|\*\*\w[^*]*\*\*|^```",
)
TALK: Final = re.compile("|".join(PHRASES), re.IGNORECASE | re.MULTILINE)


def is_assistant(text: str) -> bool:
    """Whether a text has a phrase of assistants, or marks of their templates and Markdown."""
    return TALK.search(text.replace("’", "'")) is not None
