"""The control tokens of ChatML, which frame each message of a prompt."""

from typing import Final

IM_START: Final = "<|im_start|>"
"""Begins a message: its nick, a newline and its content follow."""
IM_END: Final = "<|im_end|>"
"""Ends a message, and with it a model's reply."""
