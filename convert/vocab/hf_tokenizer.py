"""A Hugging Face tokenizer as the `tokenizer.*` metadata of a GGUF file.

By the rules of llama.cpp's converter (conversion/base.py), whose special tokens the gguf package
reads (SpecialVocab).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gguf import GGUFWriter, SpecialVocab
from tokenizers import Tokenizer

from relay_gguf.chatml import IM_END, IM_START
from relay_gguf.convert.read.config import refuse_mark
from relay_gguf.errors import ConversionError

from .bpe import find_pre, is_byte_level, read_bpe
from .chat_templates import sort_names, sound_templates
from .probes import PROBES, find_matched, unlike
from .sentencepiece import read_json, read_model
from .tokens import PAD, Tokens, refuse_duplicates

SPECIAL: Final = ("bos", "eos", "unk", "sep", "pad")
SMALL_GRANITE: Final = 49152
"""At this size of vocabulary llama.cpp's converter writes add_bos_token = false: Granite's and
SmolLM2's."""
SPACE_NOTE: Final = (
    "The tokenizer puts a space before a text, and none behind control tokens; llama.cpp can have "
    "neither or both. It has neither here (add_space_prefix = false): chats are cut as in training."
)
"""What is said of a SentencePiece tokenizer with `legacy: false`."""


@dataclass(frozen=True, slots=True)
class HfVocabulary:
    """The vocabulary of a model: its tokens, the special ones, and notes for the user."""

    model: str  # llama.cpp's: "gpt2" for byte-level BPE, "llama" for SentencePiece
    pre: str
    tokens: Tokens
    special: SpecialVocab
    tokenizer: Tokenizer | None = None  # None for a tokenizer.model without a tokenizer.json
    add_space_prefix: bool | None = None
    chat_only: bool = False  # llama.cpp cuts as the tokenizer does what begins with <|im_start|>
    notes: tuple[str, ...] = ()
    matched: Mapping[str, str] = field(default_factory=dict)
    """Tokens of chats and of typed text that are found in a way of their own → `rstrip`."""

    def probes(self) -> dict[str, list[int]]:
        """Text → token ids by Hugging Face's tokenizer, without BOS and EOS; empty without one."""
        if self.tokenizer is None:
            return {}
        texts = [text for text in PROBES if text.startswith(IM_START) or not self.chat_only]
        begin = IM_START if self.chat_only else ""
        texts += [f"{begin}a {token} b{token}c\n{token}\nd" for token in self.matched]
        encoded = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return {text: list(ids.ids) for text, ids in zip(texts, encoded, strict=True)}


def read_vocabulary(
    folder: Path,
    n_vocab: int,
    *,
    base: Path,
    config: Mapping[str, Any],
    pre: str | None = None,
) -> HfVocabulary:
    """The vocabulary in a folder.

    Args:
        folder: of the tokenizer: the adapter's, if it has one, else the base's.
        n_vocab: rows of the embedding; unused tokens fill a smaller vocabulary up.
        base: the folder of the base; its tokenizer tells the pre-tokenizer where an adapter's own
            tokenizer does not.
        config: config.json of the base; tells special tokens that tokenizer_config.json leaves out.
        pre: llama.cpp's name of the pre-tokenizer; None looks it up.

    Raises:
        ConversionError: the tokenizer is neither BPE nor SentencePiece, is larger than the
            embedding, has a token twice, or has an unknown pre-tokenizer; or its files are damaged.
    """
    try:
        return _read(folder, n_vocab, base, config, pre)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError, RecursionError) as error:
        raise ConversionError(
            f"The tokenizer's files in {folder} are not as transformers saves them: {error!r}. "
            "Download them again, or save the tokenizer with transformers."
        ) from error


def _read(
    folder: Path, n_vocab: int, base: Path, config: Mapping[str, Any], pre: str | None
) -> HfVocabulary:
    tokenizer, content = _open(folder), _json(folder / "tokenizer.json")
    settings = _json(folder / "tokenizer_config.json")
    byte_level = is_byte_level(content.get("model", {}))
    without_row: list[str] = []
    if tokenizer is not None:
        without_row = _without_row(tokenizer, settings, n_vocab, folder)
    if (folder / "tokenizer.model").exists() and not byte_level:
        added = _json(folder / "added_tokens.json")
        decoder = settings.get("added_tokens_decoder") or {}
        listed = content.get("added_tokens") or []
        tokens = read_model(folder / "tokenizer.model", added, decoder, listed, n_vocab)
    elif tokenizer is None:
        raise ConversionError(
            f"{folder} has no tokenizer.json and no tokenizer.model. A tekken.json alone cannot be "
            "converted: save the tokenizer with transformers first."
        )
    elif byte_level:
        tokens = read_bpe(tokenizer, n_vocab)
        if pre is None:
            pre = find_pre(
                tokenizer, folder / "tokenizer.json", None if base == folder else _open(base)
            )
    elif content.get("model", {}).get("type") == "BPE":
        tokens = read_json(content, n_vocab)
    else:
        kind = content.get("model", {}).get("type")
        raise ConversionError(
            f"{folder / 'tokenizer.json'} is of the kind {kind}; BPE and SentencePiece can be "
            "converted."
        )
    refuse_duplicates(tokens.texts, folder)
    special = _special(folder, tokens, config, settings, merges=byte_level)
    chat_only = not byte_level and IM_START in tokens.texts and _prefixes_first(content)
    notes = list(_notes(tokens, special.special_token_ids.get("eos"), without_row))
    if chat_only:
        notes.append(SPACE_NOTE)
    matched = dict(find_matched(tokenizer, content)) if tokenizer else {}
    notes += unlike(matched)
    return HfVocabulary(
        model="gpt2" if byte_level else "llama",
        pre=pre if byte_level and pre else "default",
        tokens=tokens,
        special=special,
        tokenizer=tokenizer,
        add_space_prefix=False if chat_only else settings.get("add_prefix_space"),
        chat_only=chat_only,
        notes=tuple(notes),
        matched={text: way for text, (way, in_chats) in matched.items() if in_chats},
    )


def _prefixes_first(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json puts a space before the first word of a text alone.

    So do those with `legacy: false`. llama.cpp puts one behind each special token too, or none.
    """
    found = tokenizer.get("pre_tokenizer") or {}
    steps = found.get("pretokenizers", [found])
    return any(step.get("prepend_scheme") == "first" for step in steps)


def add_tokenizer_metadata(writer: GGUFWriter, vocabulary: HfVocabulary) -> None:
    """Add `tokenizer.*`, in the order of llama.cpp's converter."""
    tokens, special = vocabulary.tokens, vocabulary.special
    if vocabulary.add_space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(tokens.texts)
    if vocabulary.model == "llama":
        writer.add_token_scores(tokens.scores)
    writer.add_token_types(tokens.types)
    if len(tokens.texts) == SMALL_GRANITE:
        special.add_special_token["bos"] = False
    special.add_to_gguf(writer, quiet=True)
    sort_names(writer)


def _open(folder: Path) -> Tokenizer | None:
    path = folder / "tokenizer.json"
    if not path.exists():
        return None
    try:
        refuse_mark(path)
        tokenizer = Tokenizer.from_file(str(path))
    except (ConversionError, KeyboardInterrupt):
        raise
    except BaseException as error:  # bare Exception, and Rust's panics, which are not even that
        raise ConversionError(f"{path} is not a tokenizer: {error}.") from error
    # transformers saves those of its last call, and sets them anew for each call.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _without_row(
    tokenizer: Tokenizer, settings: Mapping[str, Any], n_vocab: int, folder: Path
) -> list[str]:
    """The added tokens that fill up batches in training, where the embedding has no row for them.

    No text has them, so that the model works without them, as in PEFT and llama.cpp.

    Raises:
        ConversionError: another token has no row.
    """
    ids = tokenizer.get_vocab(with_added_tokens=True)
    beyond = {text: token for text, token in ids.items() if token >= n_vocab}
    added = tokenizer.get_added_tokens_decoder()
    named = _content(settings.get("pad_token"))
    if any(
        token not in added or not (text == named or PAD.fullmatch(text))
        for text, token in beyond.items()
    ):
        raise ConversionError(
            f"{folder} has a tokenizer of {max(ids.values()) + 1} tokens, the embedding has "
            f"{n_vocab} rows. An adapter that trained new tokens must bring both matrices "
            "(modules_to_save: embed_tokens, lm_head)."
        )
    return sorted(beyond)


class _SpecialTokens(SpecialVocab):
    """gguf's reader of special tokens, but a negative id is none, as in LLaMA 1's config.json."""

    def _set_special_token(self, typ: str, tid: Any) -> None:
        if not isinstance(tid, int) or tid >= 0:
            super()._set_special_token(typ, tid)


def _content(named: object) -> str | None:
    """The text of a token in tokenizer_config.json, which names it or describes it."""
    text = named.get("content") if isinstance(named, dict) else named
    return text if isinstance(text, str) else None


def _special(
    folder: Path,
    tokens: Tokens,
    config: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    merges: bool,
) -> SpecialVocab:
    """BOS, EOS and others by tokenizer_config.json; the rest by the ids in the config."""
    n_vocab = len(tokens.texts)
    special = _SpecialTokens(folder, load_merges=merges, n_vocab=n_vocab)
    added = _post_processor(folder)
    ids = special.special_token_ids
    for kind in SPECIAL:
        named = settings.get(f"{kind}_token")
        text = _content(named)
        token = config.get(f"{kind}_token_id")
        if kind not in ids and kind in added.special_token_ids:
            ids[kind] = added.special_token_ids[kind]
        # Without a tokenizer.json the gguf package finds no names, and a trained <|im_end|> would
        # give way to the base's </s>.
        if not (folder / "tokenizer.json").exists() and text in tokens.texts:
            ids[kind] = tokens.texts.index(text)
        if kind not in ids and isinstance(token, int) and 0 <= token < n_vocab:
            ids[kind] = token
    special.add_special_token = special.add_special_token | added.add_special_token
    special.chat_template = sound_templates(special.chat_template)
    return special


def _post_processor(folder: Path) -> SpecialVocab:
    """Special tokens by tokenizer.json alone, which says whether BOS and EOS are added.

    In llama.cpp's tree it precedes tokenizer_config.json; in gguf 0.19 it does not.
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
        found = _SpecialTokens(scratch)
    if any(processor.get("type") == "ByteLevel" for processor in processors):
        found.add_special_token = {"bos": False, "eos": False} | found.add_special_token
    return found


def _notes(tokens: Tokens, eos: int | None, without_row: Sequence[str]) -> Iterator[str]:
    """What keeps a chat with the model from working, or makes it worse."""
    if without_row:
        yield f"The embedding has no row for {', '.join(without_row)}: left out of the vocabulary."
    texts: Sequence[str] = tokens.texts
    missing = [text for text in (IM_START, IM_END) if text not in texts]
    if missing:
        yield (
            f"The vocabulary has no {' and no '.join(missing)}: without ChatML the files work as "
            "base models, not with `relay-gguf chat`."
        )
    elif eos is None or texts[eos] != IM_END:
        name = "none" if eos is None else repr(texts[eos])
        yield f"The end of a text (eos) is {name}, not {IM_END!r}."
    if (unused := len(texts) - tokens.n_known) > 0:
        yield f"{unused} rows of the embedding have no token."


def _json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is no file."""
    try:
        refuse_mark(path)
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConversionError(f"Cannot read {path}: {error}.") from error
    return found if isinstance(found, dict) else {}
