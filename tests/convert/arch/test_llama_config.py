"""What a config.json may say of a Llama's sizes and of RoPE, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from relay_gguf.convert.arch.llama import read_llama
from relay_gguf.convert.write.sizes import NEMO
from relay_gguf.errors import ConversionError

LLAMA3 = {"rope_type": "llama3", "factor": 8.0}
YARN = {"rope_type": "yarn", "factor": 4.0}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_hidden_layers": 2**31 - 1}, "num_hidden_layers is 2147483647; it must be a whole"),
        ({"rope_theta": 10**400}, "rope_theta is 1000"),
        ({"rope_theta": float("inf")}, "rope_theta is inf; it must be a positive number"),
        ({"rms_norm_eps": 1e300}, "rms_norm_eps is 1e+300; it must be a positive number"),
        ({"rope_scaling": YARN | {"factor": 10**400}}, "factor is 1000"),
        (
            {"rope_scaling": YARN | {"original_max_position_embeddings": 1e30}},
            "original_max_position_embeddings is 1e+30; it must be 1 to 2147483647",
        ),
        (
            {"rope_scaling": LLAMA3 | {"low_freq_factor": 4.0}},
            "low_freq_factor is 4.0 and high_freq_factor 4.0; the second must be larger",
        ),
        ({"rope_scaling": None, "rope_parameters": {"full_attention": YARN}}, "one for all layers"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings is 'false'; it must be true or"),
    ],
)
def test_what_no_llama_has_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConversionError) as refused:
        read_llama(NEMO | changes)
    assert says in str(refused.value)


def test_what_is_null_in_rope_is_left_out() -> None:
    given = LLAMA3 | {"low_freq_factor": None, "original_max_position_embeddings": None}
    rope = read_llama(NEMO | {"rope_scaling": given}).rope
    assert "low_freq_factor" not in rope
    assert rope["original_max_position_embeddings"] == NEMO["max_position_embeddings"]
