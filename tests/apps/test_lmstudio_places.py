"""Where LM Studio is: its home and its models folder, as its own files tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_files import gguf
from studio_command import NAME, run

from relay_gguf.apps import lmstudio as studio
from relay_gguf.errors import SettingsError


def settings(home: Path, **fields: Any) -> None:
    (home / "settings.json").write_text(json.dumps(fields))


def test_the_usual_home_is_found(home: Path) -> None:
    assert studio.find_places() == studio.Places(home, home / "models")


def test_the_old_home_comes_before_the_usual_one(user: Path, home: Path) -> None:
    old = user / ".cache" / "lm-studio"
    old.mkdir(parents=True)
    assert studio.find_places() == studio.Places(old, old / "models")


def test_the_pointer_comes_first(user: Path, home: Path, tmp_path: Path) -> None:
    (user / ".cache" / "lm-studio").mkdir(parents=True)
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (user / ".lmstudio-home-pointer").write_text(f"{elsewhere}\n")
    assert studio.find_places() == studio.Places(elsewhere, elsewhere / "models")


@pytest.mark.parametrize("pointer", [b"", b" \n", b"\xff\xfe\xff"])
def test_a_pointer_that_points_nowhere_is_none(user: Path, home: Path, pointer: bytes) -> None:
    (user / ".lmstudio-home-pointer").write_bytes(pointer)
    assert studio.find_places().home == home


@pytest.mark.parametrize("pointer", ["/gone/lmstudio", "C:\\Users\\ann\\.lmstudio", "relative"])
def test_a_pointer_to_what_is_gone_is_told(user: Path, home: Path, pointer: str) -> None:
    (user / ".lmstudio-home-pointer").write_text(pointer)
    with pytest.raises(SettingsError, match=r"home-pointer names .*, which is not a folder here"):
        studio.find_places()
    assert studio.find_places(home=home).models == home / "models"


def test_the_settings_name_the_models_folder(home: Path, tmp_path: Path) -> None:
    big = tmp_path / "big disk"
    big.mkdir()
    settings(home, downloadsFolder=str(big), theme="dark")
    assert studio.find_places() == studio.Places(home, big)
    big.rmdir()
    with pytest.raises(SettingsError, match="Is its disk connected"):
        studio.find_places()


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"{}", ""),
        (b'{"downloadsFolder": null}', ""),
        (b"", "cannot be read"),
        (b"\xff\xff", "cannot be read"),
        (b"[1]", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"downloadsFolder": 5}', "no models folder of this system"),
        (b'{"downloadsFolder": ""}', "no models folder of this system"),
        (b'{"downloadsFolder": "models"}', "no models folder of this system"),
        (b'{"downloadsFolder": "/a\\u0000b"}', "no models folder of this system"),
        (b'{"downloadsFolder": "D:\\\\models"}', "no models folder of this system"),
    ],
)
def test_settings_without_a_usable_folder_are_noted(home: Path, content: bytes, note: str) -> None:
    (home / "settings.json").write_bytes(content)
    places = studio.find_places()
    assert places.models == home / "models"
    assert note in places.note
    assert bool(note) == bool(places.note)


def test_lm_studio_that_never_started_is_told(user: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"never started here\. Start it once, or .* --home"):
        studio.find_places()
    with pytest.raises(SettingsError, match=r"no folder .*nowhere. --models should be"):
        studio.find_places(models=tmp_path / "nowhere")
    with pytest.raises(SettingsError, match=r"no folder .*nowhere. --home should be"):
        studio.find_places(home=tmp_path / "nowhere")
    assert studio.find_places(models=user) == studio.Places(None, user)
    with pytest.raises(SettingsError, match="name it with --home"):
        run("install", gguf(tmp_path / NAME), "--models", user, "--preset")
