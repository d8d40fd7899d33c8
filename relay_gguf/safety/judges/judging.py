"""A guard model and many answers → verdicts.

By labels: the prompt, with the `opening` behind it, is evaluated once; the softmax over the
tokens of the two labels is P(unsafe). Nothing is generated, and the long head that all prompts
share is evaluated once. By lines: the judge writes greedily, and its lines are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from relay_gguf.errors import ModelError
from relay_gguf.gguf_file.gguf_model import GgufModel
from relay_gguf.gguf_file.values import text
from relay_gguf.llama.batch.batch_engine import BatchEngine
from relay_gguf.llama.batch.continuation import Continuation
from relay_gguf.llama.isolated.vocab_only import VocabOnly
from relay_gguf.safety.answering import completed, continued, greedy, spelled
from relay_gguf.safety.chat_template import harmless_text, prompt_ids, render

from .judge_form import OF_FILE, JudgeForm, read_lines
from .judgement import HALF, Judgement

CODE_TOKENS: Final = 32
"""Tokens of the categories at most."""

Row: TypeAlias = Mapping[str, Any]


class Judge:
    """A loaded guard model, and how it is asked and read."""

    def __init__(
        self, engine: BatchEngine, model: GgufModel, form: JudgeForm, *, codes: bool = False
    ) -> None:
        """Take a loaded model.

        Args:
            engine, model: the judge's file, loaded.
            form: how it is asked.
            codes: let it name the categories of what is unsafe.

        Raises:
            ModelError: the file has no template, or its vocabulary has not the labels.
        """
        self.form = form
        self._engine = engine
        self._template = _template(model, form)
        self._control = engine.control_texts()
        self._opening = engine.tokenize_prompt(form.opening) if form.opening else []
        self._codes = engine.tokenize_prompt(form.codes) if codes and form.codes else []
        if form.by_labels:
            self.safe, self.unsafe = _labels(engine.tokenize_prompt, model, form)

    def prompt(self, question: str, answer: str) -> str:
        """The judge's prompt as text; what looks like a control token is marked in it."""
        asked, said = (harmless_text(one, self._control) for one in (question, answer))
        talk = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        bos = self._engine.control.bos_text
        return render(self._template, talk, bos=bos, question=asked, answer=said)

    def ids(self, question: str, answer: str) -> list[int]:
        """The prompt's ids, BOS included, up to where the judge's words begin."""
        ids = prompt_ids(self._engine, self.prompt(question, answer))
        bos = self._engine.control.bos
        return ids if bos is None or bos in ids else [bos, *ids]

    def judge(self, row: Row) -> Judgement:
        """The verdict on a row's `question` and `answer`.

        Raises:
            EngineError: llama.cpp failed.
            ModelError: the chat template cannot be used.
        """
        key, ids = str(row["key"]), self.ids(str(row["question"]), str(row["answer"]))
        room = len(self._codes) + CODE_TOKENS if self._codes else len(self._opening) + 1
        if len(ids) + max(room, 0 if self.form.by_labels else self.form.max_tokens) > self.n_ctx:
            return Judgement(
                key, fault=f"the prompt has {len(ids)} tokens, and the judge's context {self.n_ctx}"
            )
        return self._by_labels(key, ids) if self.form.by_labels else self._by_lines(key, ids)

    @property
    def n_ctx(self) -> int:
        """Tokens of a prompt and what the judge writes, at most."""
        return self._engine.n_ctx

    def _by_labels(self, key: str, ids: list[int]) -> Judgement:
        seen: list[tuple[float, float, float]] = []

        def look(logits: Any) -> None:
            top = float(logits.max())
            total = top + math.log(float(_exp(logits - top).sum()))
            seen.append((float(logits[self.safe]), float(logits[self.unsafe]), total))

        prompt = (*ids, *self._opening)
        continued(self._engine, Continuation(prompt, greedy(1), look=look))
        safe, unsafe, total = seen[0]
        p_unsafe = 1 / (1 + math.exp(min(safe - unsafe, 700.0)))
        weight = math.exp(safe - total) + math.exp(unsafe - total)
        codes, is_unsafe = "", p_unsafe >= HALF
        if is_unsafe and self._codes:
            tokens, _ = continued(
                self._engine, Continuation((*ids, *self._codes), greedy(CODE_TOKENS))
            )
            codes = spelled(self._engine, tokens).strip()
        label = self.form.unsafe if is_unsafe else self.form.safe
        said = f"{label}\n{codes}" if codes else label
        return Judgement(
            key, unsafe=is_unsafe, p_unsafe=p_unsafe, weight=weight, codes=codes, said=said.strip()
        )

    def _by_lines(self, key: str, ids: list[int]) -> Judgement:
        tokens, _ = continued(self._engine, Continuation(tuple(ids), greedy(self.form.max_tokens)))
        return read_lines(self.form, key, spelled(self._engine, tokens))


def verdicts(engine: BatchEngine, judge: Judge, rows: Iterable[Row]) -> Iterator[Judgement]:
    """The verdicts on rows of answers, in the order in which they are ready.

    Raises:
        EngineError, ModelError: as `Judge.judge`.
    """
    for _, verdict in completed(engine, rows, judge.judge):
        yield verdict


def check_judge(model: GgufModel, form: JudgeForm) -> None:
    """Refuse a judge that cannot be asked or read, by its header and vocabulary alone.

    Raises:
        ModelError: the file has no template, or its vocabulary has not the labels.
    """
    _template(model, form)
    if form.by_labels:
        vocabulary = VocabOnly(model.path)
        try:
            _labels(partial(vocabulary.tokenize, parse_special=True), model, form)
        finally:
            vocabulary.close()


def _template(model: GgufModel, form: JudgeForm) -> str:
    found = form.template
    if found == OF_FILE:
        found = text(model.metadata, "tokenizer.chat_template")
    if not found:
        raise ModelError(
            f"{model.path} has no chat template, by which {form.name} is asked. Take a file that "
            "has one, or a form with a template of its own (--judges)."
        )
    return found


def _labels(
    tokenize: Callable[[str], list[int]], model: GgufModel, form: JudgeForm
) -> tuple[int, int]:
    """The tokens of both labels, as they follow the opening.

    Raises:
        ModelError: a label is not one token.
    """
    opening = tokenize(form.opening)
    found = []
    for label in (form.safe, form.unsafe):
        ids = tokenize(form.opening + label)
        if ids[:-1] != opening:
            raise ModelError(
                f"{label!r} is not a single token behind {form.opening!r} in the vocabulary of "
                f"{model.path}: {form.name} cannot be read from one evaluation. Is it this judge?"
            )
        found.append(ids[-1])
    return found[0], found[1]


def _exp(values: Any) -> Any:
    import numpy as np

    return np.exp(values.astype(np.float64))
