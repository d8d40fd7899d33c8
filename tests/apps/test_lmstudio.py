"""Files put into LM Studio's folders: whole or not there, never over another's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_files import gguf, no_links, tree
from studio_command import NAME, REPO, run
from typer.testing import CliRunner

from relay_gguf.apps import lmstudio as studio
from relay_gguf.cli import apps
from relay_gguf.errors import ModelError, SettingsError


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
