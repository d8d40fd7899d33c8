"""A Hugging Face tokenizer as the `tokenizer.*` keys of a GGUF file.

Byte-level BPE from tokenizer.json, with the rules of llama.cpp's converter (conversion/base.py,
get_vocab_base; SpecialVocab of its gguf package reads the special tokens).
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gguf import GGUFWriter, SpecialVocab, TokenType
from tokenizers import Tokenizer

from relay_gguf.errors import ConversionError
from relay_gguf.prompt import IM_END, IM_START

from .pretokenizers import PROBE, fingerprint, pre_tokenizer

SPECIAL: Final = ("bos", "eos", "unk", "sep", "pad")
SMALL_GRANITE: Final = 49152
"""At this size of vocabulary llama.cpp's converter writes add_bos_token = false: Granite's and
SmolLM2's."""
PROBES: Final = (
    PROBE,
    "<|im_start|>system\n* Now talking in #boston<|im_end|>\n"
    "<|im_start|>anon\nhi! what's up?<|im_end|>\n<|im_start|>user\n",
    "<|im_start|>anon\n/cast I'm a pirate, arr... 123,456.78<|im_end|>",
    "Grüße aus München: 3½ Bäume, «çà et là», 東京 2024年、Привет, мир!\r\n\ttabs  and   spaces   ",
    "def f(x):\n    return {'a': [x ** 2, None]}  # https://example.org/?q=1&r=%20\n",
)
"""Texts that llama.cpp and the tokenizer must cut alike."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a model and what is special among them."""

    tokenizer: Tokenizer
    pre: str
    tokens: Sequence[str]
    types: Sequence[TokenType]
    special: SpecialVocab
    add_space_prefix: bool | None = None
    notes: tuple[str, ...] = ()  # what a user should know of it

    def ids(self, text: str) -> list[int]:
        """What Hugging Face's tokenizer makes of a text, without BOS and EOS."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)


def read_vocabulary(
    folder: Path, n_vocab: int, base: Path, config: Mapping[str, Any], pre: str | None = None
) -> Vocabulary:
    """The vocabulary in a folder.

    Args:
        folder: where tokenizer.json is: the adapter's, if it brings one, else the base's.
        n_vocab: rows of the embedding. Where tokens are fewer, unused ones fill it up.
        base: the folder of the base, whose tokenizer tells the pre-tokenizer of a changed one.
        config: of the base; tells special tokens that tokenizer_config.json leaves out.
        pre: llama.cpp's name of the pre-tokenizer; None looks it up.

    Raises:
        ConversionError: the tokenizer is of another kind, larger than the embedding, has a token
            twice, or a pre-tokenizer that is not known.
    """
    tokenizer = _open(folder)
    by_text = tokenizer.get_vocab(with_added_tokens=True)
    added = tokenizer.get_added_tokens_decoder()
    if max(by_text.values(), default=-1) >= n_vocab:
        raise ConversionError(
            f"{folder} has a tokenizer of {max(by_text.values()) + 1} tokens, the embedding has "
            f"{n_vocab} rows. The adapter that trained the new tokens must bring both matrices "
            "(modules_to_save: embed_tokens, lm_head)."
        )
    by_id = {token: text for text, token in by_text.items()}
    tokens: list[str] = []
    types: list[TokenType] = []
    for token in range(n_vocab):
        text = by_id.get(token)
        if text is None:
            tokens.append(f"[PAD{token}]")
            types.append(TokenType.UNUSED)
        elif token in added:
            text, kind = _added(tokenizer, text, added[token])
            tokens.append(text)
            types.append(kind)
        else:
            tokens.append(text)
            types.append(TokenType.NORMAL)
    _refuse_duplicates(tokens, folder)
    special = _special(folder, n_vocab, config)
    settings = _json(folder / "tokenizer_config.json")
    return Vocabulary(
        tokenizer,
        pre or _find_pre(tokenizer, folder, base),
        tokens,
        types,
        special,
        settings.get("add_prefix_space"),
        tuple(_notes(tokens, special.special_token_ids.get("eos"), n_vocab - len(by_text))),
    )


def add_keys(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    """Write `tokenizer.*`, in the order of llama.cpp's converter."""
    if vocabulary.add_space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    special = vocabulary.special
    if len(vocabulary.tokens) == SMALL_GRANITE:
        special.add_special_token["bos"] = False
    special.add_to_gguf(writer, quiet=True)


def _open(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.exists():
        raise ConversionError(
            f"{folder} has no tokenizer.json. Models with a SentencePiece tokenizer.model or a "
            "tekken.json alone cannot be converted: save their tokenizer with transformers first."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ConversionError(f"{path} is no tokenizer: {error}.") from error
    model = _json(path).get("model", {})
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise ConversionError(
            f"{path} is of the kind {model.get('type')}"
            f"{' with byte fallback' if model.get('byte_fallback') else ''}; "
            "byte-level BPE (Mistral-Nemo, Llama 3, SmolLM2) can be converted."
        )
    return tokenizer


def _added(tokenizer: Tokenizer, text: str, token: Any) -> tuple[str, TokenType]:
    """Text and type of an added token. llama.cpp looks for these before it normalizes."""
    if not token.normalized:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        text = tokenizer.decode(ids, skip_special_tokens=False)
    if token.special or _looks_special(text):
        return text, TokenType.CONTROL
    return text.replace("\u2581", " "), TokenType.USER_DEFINED


def _looks_special(text: str) -> bool:
    return (
        text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or (text.startswith("<|") and text.endswith("|>"))
        or (text.startswith("<\uff5c") and text.endswith("\uff5c>"))
        or (text.startswith("<unused") and text.endswith(">"))
    )


def _refuse_duplicates(tokens: Sequence[str], folder: Path) -> None:
    """llama.cpp ends the process (GGML_ASSERT) where two tokens have one text."""
    counts = Counter(tokens)
    if len(counts) == len(tokens):
        return
    text = next(text for text, count in counts.items() if count > 1)
    first = tokens.index(text)
    second = tokens.index(text, first + 1)
    raise ConversionError(
        f"{folder}: the tokens {first} and {second} are both {text!r}; llama.cpp needs each once."
    )


def _special(folder: Path, n_vocab: int, config: Mapping[str, Any]) -> SpecialVocab:
    """BOS, EOS and others: what tokenizer_config.json names; the rest from the config's ids."""
    special = SpecialVocab(folder, load_merges=True, n_vocab=n_vocab)
    added = _post_processor(folder)
    for kind in SPECIAL:
        token = config.get(f"{kind}_token_id")
        ids = special.special_token_ids
        if kind not in ids and kind in added.special_token_ids:
            ids[kind] = added.special_token_ids[kind]
        if kind not in ids and isinstance(token, int) and token < n_vocab:
            ids[kind] = token
    special.add_special_token = special.add_special_token | added.add_special_token
    return special


def _post_processor(folder: Path) -> SpecialVocab:
    """What tokenizer.json itself says of adding BOS and EOS.

    It counts more than tokenizer_config.json in llama.cpp's tree; gguf 0.19 has it the other way.
    """
    tokenizer, settings = _json(folder / "tokenizer.json"), _json(folder / "tokenizer_config.json")
    processor = tokenizer.get("post_processor") or {}
    processors = processor.get("processors", [processor])
    said = {name: value for name, value in settings.items() if not name.startswith("add_")}
    template: dict[str, Any] = next(
        (p for p in processors if p.get("type") == "TemplateProcessing"), {}
    )
    first = (template.get("single") or [{}])[0].get("SpecialToken", {}).get("id")
    if first and not settings.get("bos_token"):
        said["bos_token"] = first
    with tempfile.TemporaryDirectory() as scratch:
        parts = {"added_tokens": tokenizer.get("added_tokens", []), "post_processor": processor}
        Path(scratch, "tokenizer.json").write_text(json.dumps(parts), "utf-8")
        Path(scratch, "tokenizer_config.json").write_text(json.dumps(said), "utf-8")
        found = SpecialVocab(scratch)
    if any(processor.get("type") == "ByteLevel" for processor in processors):
        found.add_special_token = {"bos": False, "eos": False} | found.add_special_token
    return found


def _find_pre(tokenizer: Tokenizer, folder: Path, base: Path) -> str:
    """The pre-tokenizer of a tokenizer, or of the one that it was made from."""
    ids = tokenizer.encode(PROBE).ids
    candidates = [ids, tokenizer.encode(PROBE, add_special_tokens=False).ids]
    if base != folder and (base / "tokenizer.json").exists():
        candidates.append(_open(base).encode(PROBE).ids)
    found = next((name for name in map(pre_tokenizer, candidates) if name), None)
    if found is None:
        raise ConversionError(
            f"{folder / 'tokenizer.json'} has a pre-tokenizer that llama.cpp's table does not know "
            f"({fingerprint(ids)[:12]}). If you know its name there, give it: --pre NAME."
        )
    return found


def _notes(tokens: Sequence[str], eos: int | None, unused: int) -> Iterator[str]:
    """What a chat would stumble over."""
    missing = [text for text in (IM_START, IM_END) if text not in tokens]
    if missing:
        yield (
            f"The vocabulary has no {' and no '.join(missing)}: without ChatML the files work as "
            "base models, not with `relay-gguf chat`."
        )
    elif eos is None or tokens[eos] != IM_END:
        name = "none" if eos is None else repr(tokens[eos])
        yield f"The end of a text (eos) is {name}, not {IM_END!r}."
    if unused > 0:
        yield f"{unused} rows of the embedding have no token."


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is no file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConversionError(f"Cannot read {path}: {error}.") from error
    return found if isinstance(found, dict) else {}
