"""Files that are taken out of LM Studio's folders, the list of them, and the preset."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_files import gguf
from studio_command import NAME, REPO, run

from relay_gguf.apps import lmstudio as studio
from relay_gguf.display import size
from relay_gguf.errors import SettingsError

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
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    gguf(tmp_path / "hub" / "models--owner--name" / "snapshots" / "c" / NAME)
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
