"""Relay turns a base LLM into an IRC: chat with it, in a terminal or from Python.

    from relay_gguf import RelayLM, suggest_relay_model

Importing this package loads neither llama.cpp nor numpy; making a `RelayLM` does.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conversation.cards.card_file import read_card as read_card
    from .conversation.messages import Message as Message
    from .engine import Engine as Engine
    from .errors import RelayError as RelayError
    from .llama.batch.batch_engine import BatchEngine as BatchEngine
    from .llama.engine import LlamaEngine as LlamaEngine
    from .many import alternatives as alternatives
    from .many import arespond_many as arespond_many
    from .many import respond_many as respond_many
    from .models.opening import suggest_relay_model as suggest_relay_model
    from .relay import RelayLM as RelayLM
    from .sampling import SamplingParams as SamplingParams
    from .version import __version__ as __version__

_HOMES = {
    "BatchEngine": ".llama.batch.batch_engine",
    "Engine": ".engine",
    "LlamaEngine": ".llama.engine",
    "Message": ".conversation.messages",
    "RelayError": ".errors",
    "RelayLM": ".relay",
    "SamplingParams": ".sampling",
    "alternatives": ".many",
    "arespond_many": ".many",
    "respond_many": ".many",
    "__version__": ".version",
    "read_card": ".conversation.cards.card_file",
    "suggest_relay_model": ".models.opening",
}
__all__ = list(_HOMES)

_folder = Path(__file__).parent
if not (_folder / "convert").exists() and (_folder.parent / "pyproject.toml").exists():
    # In the source tree, which `python -m relay_gguf` takes when it is run there, convert/ and
    # quant_presets/ stand beside this folder; an installation has them within.
    __path__.append(str(_folder.parent))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
