"""Our chat template in a file that exists: its tensors and everyone else's bytes stay."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conversions import converted, request
from pico import write_pico
from thorough import cases

from relay_gguf.convert.inspect import rewrite as module
from relay_gguf.convert.inspect.rewrite import put_template, template_of
from relay_gguf.convert.template import relay_template, template_kind
from relay_gguf.disk import PARTIAL
from relay_gguf.errors import ConversionError, ModelError
from relay_gguf.gguf_file.header import Header, Metadata, Value, ValueType, read_header


@pytest.fixture
def model(pico: Path, tmp_path: Path) -> Path:
    path = tmp_path / "models" / "pico.gguf"
    path.parent.mkdir()
    path.write_bytes(pico.read_bytes())
    return path


def tensors(path: Path) -> tuple[list[Any], str]:
    head = read_header(path)
    return list(head.tensors), sha256(path.read_bytes()[head.size :]).hexdigest()


def test_tensors_stay_as_they_are_to_the_byte(model: Path) -> None:
    before, keys = tensors(model), dict(read_header(model).metadata)
    model.chmod(0o640)
    steps = list(put_template(model))
    assert steps[-1][0] == steps[-1][1]
    assert tensors(model) == before
    assert template_kind(template_of(model)) == "relay"
    now = read_header(model).metadata
    new = ("tokenizer.chat_template", "tokenizer.ggml.eot_token_id")
    assert dict(now) == keys | {name: now[name] for name in new}
    assert now["tokenizer.ggml.tokens"].value[now[new[1]].value] == "<|im_end|>"
    assert model.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in model.parent.iterdir()] == ["pico.gguf"]


@pytest.mark.thorough
def test_a_second_time_changes_nothing(model: Path) -> None:
    list(put_template(model))
    once = model.read_bytes()
    list(put_template(model))
    assert model.read_bytes() == once


@pytest.mark.thorough
def test_templates_for_tools_would_come_before_ours(model: Path) -> None:
    head = read_header(model)
    text = module.Value("{{ messages }}", module.ValueType.STRING)
    list(module.rewrite(model, {"tokenizer.chat_template.tool_use": text}))
    assert len(read_header(model).metadata) == len(head.metadata) + 1
    list(put_template(model))
    assert "tokenizer.chat_template.tool_use" not in read_header(model).metadata


def test_links_keep_their_bytes(model: Path, tmp_path: Path) -> None:
    before = model.read_bytes()
    hard, soft = tmp_path / "hard.gguf", tmp_path / "soft.gguf"
    hard.hardlink_to(model)
    soft.symlink_to(model)
    list(put_template(soft))
    assert hard.read_bytes() == model.read_bytes() == before
    assert not soft.is_symlink()
    assert template_kind(template_of(soft)) == "relay"


@pytest.mark.parametrize("bos", cases([True, False], True))
def test_the_template_writes_bos_where_the_model_wants_it(
    bos: bool, smollm2: Path, tmp_path: Path
) -> None:
    path = write_pico(tmp_path / "pico.gguf", smollm2, add_bos=bos)
    list(put_template(path))
    assert template_of(path) == relay_template(bos=bos)


@pytest.mark.thorough
def test_the_first_shard_takes_the_template(pico: Path, tmp_path: Path) -> None:
    parts = next(iter(converted(request(pico, "Q8_0", max_bytes=100_000), tmp_path).values()))
    assert len(parts) > 1
    later = [path.read_bytes() for path in parts[1:]]
    list(put_template(parts[0]))
    assert template_kind(template_of(parts[0])) == "relay"
    assert [path.read_bytes() for path in parts[1:]] == later
    with pytest.raises(ConversionError, match=f"the metadata is in {parts[0].name}"):
        list(put_template(parts[1]))


# What goes wrong leaves the file as it was


def fail(*_: object, **__: object) -> None:
    raise OSError(5, "Input/output error")


BREAK: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "no room": lambda m: m.setattr(
        module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})
    ),
    "while writing": lambda m: m.setattr(module, "pack_header", fail),
    "at fsync": lambda m: m.setattr(os, "fsync", fail),
    "at copying the mode": lambda m: m.setattr(module.shutil, "copymode", fail),
    "reading back": lambda m: m.setattr(module, "_check", fail),
    "opening": lambda m: m.setattr(module, "check_opens", fail),
    "at the rename": lambda m: m.setattr(Path, "replace", fail),
}


@pytest.mark.parametrize("step", cases(BREAK, *[*BREAK][:2]))
def test_a_failure_at_any_step_leaves_the_file_as_it_was(
    step: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.read_bytes()
    with monkeypatch.context() as patch:
        BREAK[step](patch)
        with pytest.raises((ConversionError, OSError)):
            list(put_template(model))
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["pico.gguf"]


def test_a_damaged_copy_never_replaces_the_file(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.read_bytes()

    def spoil(source: Path, copy: Path) -> None:
        with copy.open("r+b") as file:
            file.seek(-5, os.SEEK_END)
            file.write(b"\xff")

    monkeypatch.setattr(module.shutil, "copymode", spoil)
    with pytest.raises(ConversionError, match="is not what was written"):
        list(put_template(model))
    assert model.read_bytes() == before


def test_stopping_half_way_leaves_the_file_as_it_was(model: Path) -> None:
    before = model.read_bytes()
    steps = put_template(model)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == ["pico.gguf"]


def test_files_that_cannot_take_the_template_are_refused(smollm2: Path, tmp_path: Path) -> None:
    path = write_pico(tmp_path / "pico.gguf", smollm2, without=("<|im_end|>",))
    with pytest.raises(ConversionError, match="Relay speaks ChatML"):
        list(put_template(path))
    with pytest.raises(ConversionError, match="has no chat template"):
        template_of(path)
    with pytest.raises(ModelError, match="There is no file"):
        template_of(tmp_path / "nothing.gguf")


@pytest.mark.thorough
def test_the_copy_follows_no_link_that_stands_there(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    guessed = model.with_name(model.name + PARTIAL)
    guessed.symlink_to(other)
    list(put_template(model))
    assert other.read_bytes() == b"precious"
    assert guessed.is_symlink()
    assert template_kind(template_of(model)) == "relay"


@pytest.mark.thorough
def test_two_may_write_the_template_at_once(model: Path) -> None:
    first, second = put_template(model), put_template(model)
    next(first)
    next(second)
    for _ in first:
        pass
    for _ in second:
        pass
    assert template_kind(template_of(model)) == "relay"
    assert [path.name for path in model.parent.iterdir()] == ["pico.gguf"]


def test_a_copy_that_a_kill_left_is_removed(model: Path) -> None:
    left = model.with_name(f".{model.name}.abc{PARTIAL}")
    left.write_bytes(b"half")
    list(put_template(model))
    assert not left.exists()


def test_a_file_replaced_meanwhile_is_not_mixed_with_the_new_one(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = module.read_header

    def replacing(path: Path) -> Header:
        header = read(path)
        new = path.with_name("new")
        new.write_bytes(path.read_bytes())
        new.replace(path)
        return header

    before = model.read_bytes()
    monkeypatch.setattr(module, "read_header", replacing)
    with pytest.raises(ConversionError, match="was replaced meanwhile"):
        list(put_template(model))
    assert model.read_bytes() == before


def test_new_keys_come_in_the_same_order_in_every_process(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of a set of texts depends on PYTHONHASHSEED."""
    added = [f"relay.{name}" for name in "gfedcba"]
    ours = module.with_relay_template

    def more(metadata: Metadata) -> Metadata:
        return {**ours(metadata), **{key: Value(key, ValueType.STRING) for key in added}}

    monkeypatch.setattr(module, "with_relay_template", more)
    list(put_template(model))
    assert [key for key in read_header(model).metadata if key in added] == added
