"""Relay's prompt as settings of SillyTavern and KoboldCpp, which tell ChatML otherwise.

There, a card's character becomes the model's bio and its scenario the topic. SillyTavern's own
template for ChatML has Relay's roles the wrong way round.
"""

from __future__ import annotations

from typing import Any, Final

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.conversation import messages as rules
from relay_gguf.conversation.messages import DEFAULT_CHANNEL, NICKS, Message
from relay_gguf.sampling import DEFAULTS

NAME: Final = "Relay"
N_CTX: Final = 4096
"""Tokens of context, as Relay was trained."""
END: Final = f"{IM_END}\n"


def master_import(channel: str = DEFAULT_CHANNEL) -> dict[str, Any]:
    """The value that SillyTavern's master import takes: all templates, and a sampler preset.

    Args:
        channel: where all scenes play, without its #.
    """
    return {
        "instruct": _instruct(),
        "context": _context(channel),
        "sysprompt": {"name": NAME, "content": ""},  # a base model follows no instructions
        "preset": _preset(),
    }


def koboldcpp_adapter() -> dict[str, str]:
    """The chat adapter that KoboldCpp takes: what stands around the messages of each role."""
    nicks = {"system": NICKS["system"], "user": NICKS["input"], "assistant": NICKS["model"]}
    starts = {f"{role}_start": f"{IM_START}{nick}\n" for role, nick in nicks.items()}
    return starts | {f"{role}_end": END for role in nicks}


def story_string(channel: str) -> str:
    """What stands before the first message, as a Handlebars template: join, topic, bios."""
    topic = rules.topic(NICKS, "input", channel, "{{scenario}}")
    about = "".join(map(_optional, ("anchorBefore", "wiBefore", "description", "personality")))
    after = "".join(map(_optional, ("wiAfter", "anchorAfter")))
    parts = [
        _turns(*rules.join(NICKS, "model", channel)),
        f"{{{{#if scenario}}}}{_turns(*topic)}{{{{/if}}}}",
        _turns(*rules.cast(NICKS, "input", f"I'm {{{{char}}}}.{about}{after}")),
        f"{{{{#if persona}}}}{_turns(*rules.cast(NICKS, 'model', '{{persona}}'))}{{{{/if}}}}",
    ]
    return "".join(parts)


def _optional(field: str) -> str:
    return f"{{{{#if {field}}}}} {{{{{field}}}}}{{{{/if}}}}"


def _turns(*messages: Message) -> str:
    return "".join(f"{IM_START}{one.nick}\n{one.content}{END}" for one in messages)


def _context(channel: str) -> dict[str, Any]:
    return {
        "story_string": story_string(channel),
        "example_separator": "",
        "chat_start": "",
        "use_stop_strings": False,
        "names_as_stop_strings": False,
        "story_string_position": 0,
        "story_string_depth": 1,
        "story_string_role": 0,
        "always_force_name2": False,
        "trim_sentences": False,
        "single_line": False,
        "name": NAME,
    }


def _instruct() -> dict[str, Any]:
    """The sequences have their line breaks themselves: wrapped, the stop string would get one."""
    empty = (
        "first_input_sequence last_input_sequence first_output_sequence last_output_sequence "
        "last_system_sequence system_sequence_prefix system_sequence_suffix story_string_prefix "
        "story_string_suffix user_alignment_message"
    )
    return {
        "input_sequence": f"{IM_START}{NICKS['input']}\n",
        "input_suffix": END,
        "output_sequence": f"{IM_START}{NICKS['model']}\n",
        "output_suffix": END,
        "system_sequence": f"{IM_START}{NICKS['system']}\n",
        "system_suffix": END,
        "stop_sequence": IM_END,
        "wrap": False,
        "macro": True,
        "names_behavior": "none",
        "activation_regex": "/relay/i",
        "skip_examples": False,  # it means to leave them as they are, outside of any message
        "system_same_as_user": False,
        "sequences_as_stop_strings": True,
        **dict.fromkeys(empty.split(), ""),
        "name": NAME,
    }


def _preset() -> dict[str, Any]:
    """The original's sampling, in its order as far as each server has one; all else is off."""
    off = (
        "freq_pen presence_pen top_a smoothing_factor dry_multiplier xtc_probability mirostat_mode "
        "epsilon_cutoff eta_cutoff rep_pen_decay rep_pen_slope nsigma no_repeat_ngram_size "
        "penalty_alpha min_length"
    )
    return {
        "temp": DEFAULTS.temperature,
        "top_k": DEFAULTS.top_k,
        "top_p": DEFAULTS.top_p,
        "min_p": DEFAULTS.min_p,
        "rep_pen": DEFAULTS.repeat_penalty,
        "rep_pen_range": N_CTX,
        "typical_p": 1,
        "tfs": 1,
        "encoder_rep_pen": 1,
        "guidance_scale": 1,
        **dict.fromkeys(off.split(), 0),
        "temperature_last": False,
        "dynatemp": False,
        "do_sample": True,
        "add_bos_token": True,
        "ban_eos_token": False,
        "skip_special_tokens": True,
        "samplers": [
            "penalties",
            "dry",
            "top_n_sigma",
            "temperature",
            "top_k",
            "typ_p",
            "top_p",
            "min_p",
            "xtc",
        ],
        "sampler_priority": [
            "repetition_penalty",
            "presence_penalty",
            "frequency_penalty",
            "dry",
            "temperature",
            "dynamic_temperature",
            "quadratic_sampling",
            "top_n_sigma",
            "top_k",
            "top_p",
            "typical_p",
            "epsilon_cutoff",
            "eta_cutoff",
            "tfs",
            "top_a",
            "min_p",
            "mirostat",
            "xtc",
            "encoder_repetition_penalty",
            "no_repeat_ngram",
        ],
        # KoboldCpp's numbers: penalty, temperature, top-k, top-p, and three that are off
        "sampler_order": [6, 5, 0, 2, 1, 3, 4],
        "genamt": DEFAULTS.max_tokens,
        "max_length": N_CTX,
        "name": NAME,
    }
