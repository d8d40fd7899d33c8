"""Files put into LM Studio's folders: found, whole or not there, never over another's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_files import gguf, no_links, tree
from typer.testing import CliRunner

from relay_gguf.apps import lmstudio as studio
from relay_gguf.cli import apps
from relay_gguf.display import size
from relay_gguf.errors import ModelError, SettingsError
from relay_gguf.gguf_file.name import FileName, parse_name, shard_paths
from relay_gguf.models import locate

NAME = "relay-v0.1-Mistral-Nemo-12B-2407-Q4_K_M.gguf"
REPO = "relay-v0.1-Mistral-Nemo-12B-2407-GGUF"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user who never started LM Studio."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setattr(Path, "home", lambda: folder)
    return folder


@pytest.fixture
def home(user: Path) -> Path:
    """LM Studio's folder."""
    folder = user / ".lmstudio"
    folder.mkdir()
    return folder


def run(*arguments: str | Path) -> str:
    """What a command prints, on both streams."""
    result = CliRunner().invoke(apps.lmstudio, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


# Where LM Studio is


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


# Names


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (NAME, FileName("relay-v0.1-Mistral-Nemo-12B-2407", "Q4_K_M")),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", FileName("SmolLM2-135M-Instruct", "Q4_1")),
        ("relay-F16-00002-of-00003.gguf", FileName("relay", "F16", 2, 3)),
        ("relay-IQ4_XS.gguf", FileName("relay", "IQ4_XS")),
        ("relay-UD-Q4_K_XL.gguf", FileName("relay", "UD-Q4_K_XL")),
        ("relay-bf16.gguf", FileName("relay", "bf16")),
        ("Qwen3-8B.gguf", FileName("Qwen3-8B")),
        ("relay-q8.gguf", FileName("relay", "q8")),
        ("relay.txt", FileName("relay.txt")),
    ],
)
def test_a_file_name_is_taken_apart(name: str, wanted: FileName) -> None:
    assert parse_name(name) == wanted


def test_all_shards_of_a_split_file_are_found_by_any_of_them() -> None:
    names = [f"r-F16-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert [path.name for path in shard_paths(Path("x") / names[1])] == names
    assert shard_paths(Path("r.gguf")) == [Path("r.gguf")]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".x", "x.", " x", "x ", "a/b", "a\\b", "a:b", "a\nb", "\x1b[2J", "x" * 101],
)
@pytest.mark.parametrize("what", ["publisher", "repo"])
def test_names_that_cannot_be_folders_are_refused(
    home: Path, tmp_path: Path, what: str, name: str
) -> None:
    places, models = studio.find_places(), studio.open_models([gguf(tmp_path / NAME)])
    names = {"publisher": "p", "repo": "r"} | {what: name}
    with pytest.raises(SettingsError, match=f"The {what} .* Name another with --{what}"):
        studio.install(models, places, publisher=names["publisher"], repo=names["repo"])
    assert list(home.iterdir()) == []


# Installing


def test_installing_links_the_file_and_says_what_to_do_next(home: Path, tmp_path: Path) -> None:
    file = gguf(tmp_path / NAME)
    target = home / "models" / "relay-gguf" / REPO / NAME
    assert run("install", file) == (
        f"linked  {target}\n\n"
        "In LM Studio, load relay-v0.1-mistral-nemo-12b-2407 and set Temperature to 0.3. "
        "From a terminal:\n"
        "  lms load relay-v0.1-mistral-nemo-12b-2407 --identifier relay\n"
    )
    assert target.samefile(file)
    assert [path.name for path in target.parent.iterdir()] == [NAME]


@pytest.mark.parametrize("links", [True, False])
def test_a_second_run_changes_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        no_links(monkeypatch)
    file = gguf(tmp_path / NAME)
    run("install", file, "--preset")
    before = tree(tmp_path)
    monkeypatch.setattr("filecmp.cmp", None)  # not even read
    assert "nothing has changed" in run("install", file, "--preset")
    assert tree(tmp_path) == before


def test_another_file_system_gets_a_copy(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_links(monkeypatch)
    file = gguf(tmp_path / NAME, b"x" * 10_000)
    said = run("install", file)
    assert "Copying 11 KB of " in said
    target = home / "models" / "relay-gguf" / REPO / NAME
    assert f"copied  {target}" in said
    assert not target.samefile(file)
    assert target.read_bytes() == file.read_bytes()
    assert target.stat().st_mtime_ns == file.stat().st_mtime_ns
    file.unlink()
    assert "removed" in run("uninstall", NAME)


def test_copy_is_taken_at_its_word(home: Path, tmp_path: Path) -> None:
    file = gguf(tmp_path / NAME)
    run("install", file, "--copy", "--publisher", "ann", "--repo", "my relay")
    target = home / "models" / "ann" / "my relay" / NAME
    assert target.stat().st_ino != file.stat().st_ino


def test_the_hubs_cache_has_symbolic_links(home: Path, tmp_path: Path) -> None:
    blob = gguf(tmp_path / "blobs" / "0123abcd")
    (tmp_path / NAME).symlink_to(blob)
    run("install", tmp_path / NAME)
    target = home / "models" / "relay-gguf" / REPO / NAME
    assert not target.is_symlink()
    assert target.samefile(blob)


def test_a_split_model_is_installed_whole(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [gguf(tmp_path / f"relay-F16-0000{n}-of-00003.gguf", bytes([n])) for n in (1, 2, 3)]
    order = []
    rename = Path.replace

    def seen(path: Path, target: Path) -> Path:
        order.append(target.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", seen)
    run("install", files[1], files[0])
    folder = home / "models" / "relay-gguf" / "relay-GGUF"
    assert sorted(path.name for path in folder.iterdir()) == [file.name for file in files]
    assert [name for name in order if name.startswith("relay")] == [f.name for f in files[::-1]]
    run("uninstall", files[0].name)
    assert not folder.exists()


def test_a_missing_shard_is_told_before_anything_is_done(home: Path, tmp_path: Path) -> None:
    gguf(tmp_path / "r-00001-of-00002.gguf")
    with pytest.raises(ModelError, match=r"no shard r-00002-of-00002.gguf of"):
        run("install", tmp_path / "r-00001-of-00002.gguf")
    assert list(home.iterdir()) == []


def test_a_file_that_is_not_a_model_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"hello")
    (tmp_path / "y.gguf").write_bytes(b"GGUF")
    (tmp_path / "z.gguf").mkdir()
    good = gguf(tmp_path / NAME)
    for name, message in [
        ("x.gguf", "is not a GGUF file"),
        ("y.gguf", "is damaged"),
        ("z.gguf", "z.gguf is a folder"),
        ("none.gguf", "There is no file"),
        (gguf(tmp_path / "model.bin").name, r"model.bin does not end in \.gguf"),
    ]:
        with pytest.raises(ModelError, match=message):
            run("install", good, tmp_path / name)
    assert list(home.iterdir()) == []


def test_two_files_for_one_place_are_refused(home: Path, tmp_path: Path) -> None:
    files = [gguf(tmp_path / str(n) / NAME, bytes([n])) for n in (1, 2)]
    with pytest.raises(SettingsError, match="Two of the files would be"):
        run("install", *files)
    assert "nothing" not in run("install", files[0], files[0])


def test_a_plain_template_is_told(home: Path, tmp_path: Path) -> None:
    for template in ("", "<|im_start|>assistant"):
        file = gguf(tmp_path / "plain-Q8_0.gguf", template=template)
        assert "plain-Q8_0.gguf does not have Relay's chat template" in run(
            "install", file, "--repo", "r"
        )
        run("uninstall", "--all")


def test_several_types_share_a_repository(home: Path, tmp_path: Path) -> None:
    files = [gguf(tmp_path / f"relay-{ftype}.gguf", ftype.encode()) for ftype in ("Q8_0", "Q2_K")]
    assert run("install", *files).count("lms load relay ") == 1
    assert len(list((home / "models" / "relay-gguf" / "relay-GGUF").iterdir())) == 2


# Files of others


def test_a_file_of_someone_else_stays(home: Path, tmp_path: Path) -> None:
    theirs = gguf(home / "models" / "relay-gguf" / REPO / NAME, b"theirs!")
    files = [gguf(tmp_path / "other-Q8_0.gguf"), gguf(tmp_path / NAME)]
    before = tree(home)
    with pytest.raises(SettingsError, match=r"is another file. Move it away, or choose another"):
        run("install", *files)
    assert tree(home) == before, "nor is the other one installed"
    with pytest.raises(SettingsError, match="is not installed by relay-gguf"):
        run("uninstall", NAME)
    assert theirs.read_bytes().endswith(b"theirs!")


def test_ours_is_replaced_by_a_newer_one(home: Path, tmp_path: Path) -> None:
    file = gguf(tmp_path / NAME, b"first")
    run("install", file)
    gguf(file, b"second")
    assert "linked" in run("install", file)
    assert (home / "models" / "relay-gguf" / REPO / NAME).samefile(file)


def test_ours_is_no_longer_ours_when_changed(home: Path, tmp_path: Path) -> None:
    file = gguf(tmp_path / NAME)
    run("install", file, "--copy")
    target = home / "models" / "relay-gguf" / REPO / NAME
    target.write_bytes(b"GGUF changed")
    with pytest.raises(SettingsError, match="was changed since it was installed"):
        run("install", file)
    assert f"changed {target}" in run("status")
    result = CliRunner().invoke(apps.lmstudio, ["uninstall", "--all"])
    assert result.exit_code == 1
    assert f"kept    {target}" in result.output
    assert target.read_bytes() == b"GGUF changed"
    target.unlink()
    assert f"missing {target}" in run("status")
    assert f"missing {target}" in run("uninstall", "--all")
    assert not target.parent.parent.exists()


def test_a_file_that_was_only_touched_is_still_ours(home: Path, tmp_path: Path) -> None:
    file = gguf(tmp_path / NAME)
    run("install", file)
    os.utime(file, (1, 1))
    assert "changed" in run("status")
    run("install", file)
    assert "changed" not in run("status")
    assert "removed" in run("uninstall", NAME)
    assert file.exists()


# Uninstalling and status


def test_uninstall_takes_names_of_files(home: Path, tmp_path: Path) -> None:
    files = [gguf(tmp_path / f"relay-{ftype}.gguf", ftype.encode()) for ftype in ("Q8_0", "Q2_K")]
    run("install", *files, "--preset")
    folder = home / "models" / "relay-gguf" / "relay-GGUF"
    assert run("uninstall", "relay-Q8_0.gguf") == f"removed {folder / 'relay-Q8_0.gguf'}\n"
    assert [path.name for path in folder.iterdir()] == ["relay-Q2_K.gguf"]
    with pytest.raises(SettingsError, match=r"Installed is: relay-Q2_K\.gguf, relay\.preset\.json"):
        run("uninstall", "relay-Q8_0.gguf")
    run("uninstall", "relay-Q2_K.gguf")
    assert [p.name for p in home.rglob("*")] == ["models", "config-presets", studio.PRESET]
    run("uninstall", studio.PRESET)
    assert (home / "config-presets").is_dir(), "LM Studio's own folders stay"
    assert all(file.exists() for file in files)


def test_uninstall_takes_the_file_that_install_took(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = gguf(tmp_path / "mine" / NAME)
    target = home / "models" / studio.PUBLISHER / REPO / NAME
    for given in (str(file), f"./mine/{NAME}"):
        monkeypatch.chdir(tmp_path)
        run("install", given)
        assert target.exists()
        assert f"removed {target}" in run("uninstall", given)
        assert not target.exists()
    run("install", file, "--copy")
    run("install", file, "--copy", "--repo", "another")
    assert run("uninstall", file).count("removed") == 2, "copies are told by their names"


def test_uninstall_takes_the_repository_that_install_took(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = gguf(tmp_path / "cache" / NAME)
    monkeypatch.setattr(locate, "find", {"owner/name:Q4_K_M": file}.get)
    run("install", "owner/name:Q4_K_M")
    assert "removed" in run("uninstall", "owner/name:Q4_K_M")
    with pytest.raises(SettingsError, match="owner/other is not installed"):
        run("uninstall", "owner/other")


@pytest.mark.parametrize("arguments", [[], ["x.gguf", "--all"]])
def test_uninstall_wants_names_or_all(arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match="Name the files to remove, or give --all"):
        run("uninstall", *arguments)


def test_status_lists_folders_and_files(home: Path, tmp_path: Path) -> None:
    assert run("status") == (
        f"home    {home}\nmodels  {home / 'models'}\n"
        "No model is installed.\nNo preset is installed.\n"
    )
    file = gguf(tmp_path / NAME, b"x" * 1000)
    run("install", file, "--preset")
    target = home / "models" / "relay-gguf" / REPO / NAME
    shown = size(file.stat().st_size)
    assert run("status") == (
        f"home    {home}\nmodels  {home / 'models'}\n"
        f"ok      {target}  {shown}, linked\n"
        f"ok      {home / 'config-presets' / studio.PRESET}  {size(len(studio.preset_json()))}\n"
    )
    file.unlink()
    assert f"removed {target}  {shown} are free now\n" in run("uninstall", "--all")


def test_status_works_without_lm_studio(user: Path) -> None:
    assert run("status").startswith("LM Studio was never started here. Start it once")


def test_hostile_names_are_shown_harmless(home: Path, tmp_path: Path) -> None:
    file = gguf(tmp_path / "a\x1b[2Jb\n-Q8_0.gguf", template="")
    for arguments in (["install", file, "--repo", "r"], ["status"], ["uninstall", "--all"]):
        said = run(*arguments)
        assert "\x1b" not in said
        assert "a^[[2Jb -Q8_0.gguf" in said


# The preset


def test_the_preset_is_in_lm_studios_new_schema(home: Path, tmp_path: Path) -> None:
    preset = json.loads(studio.preset_json())
    fields = {
        f["key"].removeprefix("llm.prediction."): f["value"]
        for f in preset.pop("operation")["fields"]
    }
    assert preset == {
        "identifier": "@local:relay",
        "name": "Relay",
        "changed": False,
        "load": {"fields": []},
    }
    assert fields == {
        "temperature": 0.3,
        "maxPredictedTokens": {"checked": True, "value": 128},
        "topKSampling": 40,
        "topPSampling": {"checked": True, "value": 0.95},
        "minPSampling": {"checked": True, "value": 0.05},
        "repeatPenalty": {"checked": True, "value": 1.1},
    }
    said = run("install", gguf(tmp_path / NAME), "--preset")
    assert "and take the preset Relay." in said
    assert (home / "config-presets" / studio.PRESET).read_text() == studio.preset_json()


def test_a_preset_of_someone_else_stays(home: Path, tmp_path: Path) -> None:
    theirs = home / "config-presets" / studio.PRESET
    theirs.parent.mkdir()
    theirs.write_text("{}")
    said = run("install", gguf(tmp_path / NAME), "--preset")
    assert f"left    {theirs}\nrelay.preset.json exists with other content" in said
    assert "set Temperature to 0.3" in said
    assert "The preset is not ours." in run("status")
    run("uninstall", "--all")
    assert theirs.read_text() == "{}"


def test_the_commands_load_nothing_heavy() -> None:
    heavy = "{'llama_cpp', 'numpy', 'prompt_toolkit', 'huggingface_hub', 'rich'}"
    code = f"import relay_gguf.cli.apps, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
