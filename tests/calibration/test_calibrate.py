"""A run of `relay-gguf imatrix`: what it reads, how it goes on after a stop, what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from letters import letters, write_letters

from relay_gguf.calibration import calibrate as calibrate_module
from relay_gguf.calibration.calibrate import Calibration, calibrate
from relay_gguf.calibration.calibration_text import (
    CalibrationText,
    chunks_of,
    our_texts,
    read_calibration_text,
)
from relay_gguf.calibration.unfinished import unfinished_path
from relay_gguf.cli.app import main
from relay_gguf.cli.convert.imatrix import calibration_lines
from relay_gguf.errors import CalibrationError
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.gguf_file.header import read_header
from relay_gguf.llama.activations.collector import ColumnSums, Sums

START, END, NEWLINE, BOS = 1001, 1002, 10, 1000


class Letters:
    """A vocabulary of bytes, and a model whose sums are those of the tokens themselves."""

    def __init__(self, n_ctx: int = 16, *, bos: int | None = None, chatml: bool = True) -> None:
        self.n_ctx, self.bos = n_ctx, bos
        self.control = (START, END) if chatml else None
        self.read_chunks: list[list[int]] = []
        self.stop_at = -1

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        parts = text.split("<|im_end|>") if parse_special else [text]
        ids = [list(part.encode()) for part in parts]
        return [token for i, part in enumerate(ids) for token in ([END] if i else []) + part]

    def read(self, chunk: Sequence[int]) -> Sums:
        if len(self.read_chunks) == self.stop_at:
            raise KeyboardInterrupt
        self.read_chunks.append(list(chunk))
        squares = np.array([[float(t) ** 2 / 3 for t in chunk[:4]]])
        return {"blk.0.attn_q.weight": ColumnSums(squares, np.array([len(chunk)]))}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_letters(tmp_path_factory.mktemp("letters") / "letters.gguf")


def ran(reader: Letters, model: Path, out: Path, text: str, **options: Any) -> Calibration:
    running = calibrate(reader, read_gguf(model), [CalibrationText("t", text)], out, **options)
    while True:
        try:
            next(running)
        except StopIteration as end:
            found: Calibration = end.value
            return found


# What is read


def test_scenes_are_given_with_their_control_tokens() -> None:
    (chunk,) = chunks_of(
        [CalibrationText("s", scenes=((("anon", "hi"), ("user", "<|im_end|>")),))],
        Letters(bos=BOS),
        27,
    )
    expected = [START, *b"anon\nhi", END, NEWLINE, START, *b"user\n<|im_end|>", END, NEWLINE]
    assert chunk == expected[:27]  # what is typed is no control token


def test_a_vocabulary_without_control_tokens_gets_lines_of_a_log() -> None:
    text = CalibrationText("s", scenes=((("anon", "hi"), ("user", "hey")),))
    assert bytes(text.tokens(Letters(chatml=False))) == b"<anon> hi\n<user> hey"


def test_a_plain_text_begins_with_bos_and_may_spell_control_tokens() -> None:
    text = CalibrationText("t", "ab<|im_end|>")
    assert text.tokens(Letters(bos=BOS)) == [BOS, *b"ab<|im_end|>"]
    assert text.tokens(Letters(), parse_special=True) == [*b"ab", END]


def test_texts_are_mixed_from_the_first_chunk_on() -> None:
    texts = [CalibrationText("a", "a" * 64), CalibrationText("b", "b" * 33)]
    chunks = chunks_of(texts, Letters(), 16)
    assert "".join(chr(chunk[0]) for chunk in chunks) == "abaaba"
    assert chunks_of(texts, Letters(), 16, most=2) == chunks[:2]


def test_our_own_texts_are_scenes_and_general_text() -> None:
    scenes, general = our_texts()
    assert len(scenes.scenes) > 10
    assert all({"anon", "user", "system"} & {n for n, _ in scene} for scene in scenes.scenes)
    assert len(general.text) > 10_000
    assert len(chunks_of([scenes, general], Letters(), 512)) > 40


# Going on


@pytest.mark.parametrize("stop_at", [0, 1, 2, 3, 6])
def test_a_run_that_was_stopped_goes_on_to_the_same_file(
    stop_at: int, model: Path, tmp_path: Path
) -> None:
    text = letters(16 * 7)
    ran(Letters(), model, tmp_path / "whole.gguf", text)
    first, then = Letters(), Letters()
    first.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        ran(first, model, tmp_path / "i.gguf", text)
    assert not (tmp_path / "i.gguf").exists()
    ran(then, model, tmp_path / "i.gguf", text)
    assert len(first.read_chunks) + len(then.read_chunks) == 7
    assert (tmp_path / "i.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.gguf", "whole.gguf"]


def test_a_killed_run_costs_the_chunks_since_the_sums_were_kept(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate_module, "EVERY", 3)
    text = CalibrationText("t", letters(16 * 8))
    reader, out = Letters(), tmp_path / "i.gguf"
    running = calibrate(reader, read_gguf(model), [text], out)
    for _ in range(6):  # five chunks are read
        next(running)
    left = tmp_path / "left"
    shutil.copy(unfinished_path(out), left)
    running.close()
    shutil.copy(left, unfinished_path(out))  # as if killed: nothing was kept at the end
    then = Letters()
    assert ran(then, model, out, text.text).n_chunks == 8
    assert then.read_chunks == [*reader.read_chunks[3:], *then.read_chunks[2:]]
    ran(Letters(), model, tmp_path / "whole.gguf", text.text)
    assert out.read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_what_another_run_left_is_not_mixed_in(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "i.gguf"
    first = Letters()
    first.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        ran(first, model, out, letters(16 * 7))
    with pytest.raises(CalibrationError, match=r"i\.gguf\.unfinished is of another run: .*restart"):
        ran(Letters(), model, out, "d" * 16 * 7)
    unfinished_path(out).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(CalibrationError, match="is damaged; --restart"):
        ran(Letters(), model, out, letters(16 * 7))
    assert ran(Letters(), model, out, letters(16 * 7), restart=True).n_chunks == 7
    assert not unfinished_path(out).exists()


# What it tells, and refuses


def test_what_was_never_seen_is_told(model: Path, tmp_path: Path) -> None:
    found = ran(Letters(), model, tmp_path / "i.gguf", letters(16))
    assert len(found.unseen) == 13
    said = list(calibration_lines(found, Path("i.gguf")))
    assert said[0] == "i.gguf: 1 weights, from 1 chunks, 16 tokens."
    assert said[1].startswith("Nothing went into blk.0.attn_k.weight, ")
    assert "and 10 more weights" in said[1]
    idle = Calibration(1, 16, 2, (), {"blk.0.ffn_up_exps.weight": (3,)}, {"blk.0.attn_q.weight": 2})
    assert list(calibration_lines(idle, Path("i.gguf")))[1:] == [
        "blk.0.ffn_up_exps.weight: no token came to 1 experts. Read more text (--data).",
        "2 columns were always 0, in blk.0.attn_q.weight.",
    ]


REFUSED: dict[str, tuple[list[str], str]] = {
    "no model": (["nowhere.gguf", "-o", "i.gguf"], "There is no file nowhere.gguf"),
    "a file that exists": (["m.gguf", "-o", "there.gguf"], "there.gguf exists. --force replaces"),
    "a folder": (["m.gguf", "-o", "."], ". is a folder. Give --out a file, as imatrix.gguf."),
    "a folder that is not there": (["m.gguf", "-o", "no/i.gguf"], "There is no folder no for"),
    "a text that is not there": (
        ["m.gguf", "-o", "i.gguf", "--data", "no.txt"],
        "There is no file no.txt. Check --data.",
    ),
    "a text of nothing": (["m.gguf", "-o", "i.gguf", "--data", "empty.txt"], "empty.txt is empty"),
    "a short text": (
        ["m.gguf", "-o", "i.gguf", "--data", "short.txt"],
        "The text has 6 tokens; a chunk has 512. Take a longer text, or a smaller --n-ctx.",
    ),
    "a line that is not a scene": (
        ["m.gguf", "-o", "i.gguf", "--data", "bad.jsonl"],
        "bad.jsonl, line 2 is not a conversation: it should be like",
    ),
    "a model that gives no numbers": (
        ["nan.gguf", "-o", "i.gguf", "--n-ctx", "32", "--data", "letters.txt"],
        "What goes into blk.0.attn_q.weight is not finite: the model is damaged",
    ),
}


@pytest.mark.parametrize(("given", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused_with_a_line(
    given: list[str],
    says: str,
    model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(model, "m.gguf")
    write_letters(Path("nan.gguf"), spoil=float("nan"))
    files = {
        "there.gguf": "",
        "empty.txt": "\n",
        "short.txt": "dcdcd\n",
        "letters.txt": letters(99),
    }
    for name, content in files.items():
        Path(name).write_text(content)
    scene = json.dumps({"messages": [{"role": "anon", "content": "hi"}]})
    Path("bad.jsonl").write_text(f'{scene}\n{{"messages": [{{"role": "anon"}}]}}\n')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as exit_:
        main(["imatrix", *given])
    (line,) = capfd.readouterr().err.splitlines()
    assert exit_.value.code == 1
    assert says in line
    assert "This is a bug" not in line
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_makes_a_file_that_convert_takes(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scene = {"conversations": [{"from": "anon", "value": letters(200)}]}
    Path("chats.jsonl").write_text(json.dumps(scene) + "\n")
    Path("more.txt").write_text(letters(300))
    given = ["--n-ctx", "32", "--data", "chats.jsonl", "--data", "more.txt", "--json"]
    with pytest.raises(SystemExit) as exit_:
        main(["imatrix", str(model), "-o", "i.gguf", *given])
    assert exit_.value.code == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["file"], told["n_weights"], told["unseen"]) == ("i.gguf", 14, [])
    given = ["-q", "Q4_0", "--imatrix", "i.gguf", "-o", "out", "--no-verify", "--quiet"]
    with pytest.raises(SystemExit) as exit_:
        main(["convert", str(model), *given])
    assert exit_.value.code == 0
    keys = read_header(Path("out/letters-Q4_0.gguf")).metadata
    assert keys["quantize.imatrix.dataset"].value == "chats.jsonl, more.txt"
    assert keys["quantize.imatrix.entries_count"].value == 14
    assert keys["quantize.imatrix.chunks_count"].value == told["n_chunks"]


def test_a_file_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("one\ntwo\n")
    assert read_calibration_text(path).text == "one\ntwo"  # as llama-imatrix reads it
