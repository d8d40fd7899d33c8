"""`relay-gguf synth` and `synth filter`, as they are typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up_scenes import bad_scenes, good_scenes
from typer.testing import CliRunner, Result

from relay_gguf.cli.synth.group import synth
from relay_gguf.errors import ConversionError, RelayError, SettingsError, StoreError
from relay_gguf.synth.raw.raw_scene import from_json, to_json
from relay_gguf.synth.raw.run_file import BaseFacts, SynthRun, begin_or_compare

FAST = ("--scene-tokens", 64, "--n-examples", 0, "--slots", 4, "--top-k", 40, "--threads", 1)


@pytest.fixture(autouse=True)
def _no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("py3langid", "wordfreq"):
        monkeypatch.setitem(sys.modules, name, None)


def run(*arguments: object) -> Result:
    """A command; its error is raised."""
    done = CliRunner().invoke(synth, [str(argument) for argument in arguments])
    if isinstance(done.exception, RelayError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A file of raw scenes: all good ones, and all bad ones behind them."""
    path = tmp_path / "chats-raw.jsonl"
    scenes = [*good_scenes(), *(scene for bad in bad_scenes().values() for scene in bad)]
    lines = [to_json(replace(scene, number=n)) for n, scene in enumerate(scenes)]
    model = BaseFacts("b.gguf", "ab" * 32, "Base|Model", "mit", "Q8_0")
    origin = {"starters": "q.txt", "n_starters": 5, "starters_license": "CC0", "words": "ours"}
    begin_or_compare(path, SynthRun(model, {"temperature": 0.9, "n_examples": 2}, origin))
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def test_a_random_model_is_sampled_and_filtered_and_none_of_it_again(
    base: Path, tmp_path: Path
) -> None:
    out, kept = tmp_path / "chats.jsonl", tmp_path / "chats-raw.jsonl"
    starters = tmp_path / "q.txt"
    starters.write_text("why is it so\nwhy is it so\nwho are you\n", "utf-8")
    told = ("--starters", starters, "--starters-license", "CC0", "--head", "author")
    command = (base, "--out", out, *FAST, *told)
    with pytest.raises(ConversionError, match=r"No scene of 2 is left; filters dropped: \w+"):
        run(*command, "--conversations", 2)
    assert sorted(scene["i"] for scene in read(kept)) == [0, 1]
    assert not out.exists()
    before = kept.read_bytes()
    done = run(*command, "--range", "0-1", "--no-filter")
    assert done.stdout == f"{kept}\n"
    assert "2 starters of 3 lines; left out: 1 seen before, 0 too long" in done.stderr
    assert f"2 of 2 scenes are in {kept} already." in done.stderr
    assert kept.read_bytes() == before
    with pytest.raises(StoreError, match=r"begun with --temperature 0\.9, and this is 0\.8"):
        run(*command, "-n", 9, "--temperature", 0.8)
    scenes = [from_json(line) for line in kept.read_text("utf-8").splitlines()]
    assert {scene.starter for scene in scenes} == {"why is it so", "who are you"}
    assert {scene.style for scene in scenes} == {"author"}
    known = json.loads((tmp_path / "chats-raw.run.json").read_text("utf-8"))
    assert known["origin"]["starters_license"] == "CC0"
    assert known["model"]["file"] == "base.gguf"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-n", "3", "-o", "x.jsonl"), "Name a base model"),
        (("base.gguf", "-n", "3"), "--out names the file"),
        (("base.gguf", "-o", "x.jsonl"), "Give --conversations N"),
        (("base.gguf", "-o", "x.jsonl", "-n", "3", "--head", "x"), "may be relay or author"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        run(*arguments)


def test_the_usual_command_needs_no_name() -> None:
    helps = [CliRunner().invoke(synth, [*words, "--help"]).stdout for words in ([], ["filter"])]
    assert "filter" in helps[0]
    assert "--max-echo" in helps[1]
    named = CliRunner().invoke(synth, ["run", "--help"]).stdout
    assert "--conversations" in named
    assert CliRunner().invoke(synth, ["base.gguf", "--help"]).stdout == named


def test_a_data_set_has_the_form_of_dataset(raw: Path, tmp_path: Path) -> None:
    done = run("filter", raw, "--without", "likelihood", "--license", "cc0-1.0")
    names = ["chats.jsonl", "chats-card.md", "chats-report.md"]
    assert done.stdout.splitlines() == [str(tmp_path / name) for name in names]
    rows = read(tmp_path / "chats.jsonl")
    assert len(rows) == len(good_scenes()) + 1 + 2  # a duplicate stays, rare words are not judged
    assert rows[0]["messages"][:4] == [
        {"role": "user", "content": "/join #boats"},
        {"role": "system", "content": "* Now talking in #boats"},
        {"role": "system", "content": "* anon has joined #boats"},
        {"role": "anon", "content": "my bread came out flat again"},
    ]
    assert {m["role"] for row in rows for m in row["messages"]} == {"system", "anon", "user"}
    assert "repetition   9  (10 found)" in done.stderr
    assert "secrets      6                  addresses 1, cards 1, emails 1" in done.stderr


def test_the_card_tells_origin_and_filters(raw: Path, tmp_path: Path) -> None:
    run("filter", raw, "--license", "cc0-1.0", "--split", 0.2)
    card = (tmp_path / "chats-card.md").read_text("utf-8")
    assert card.startswith('---\nlicense: "cc0-1.0"\nlanguage:\n- "en"\n')
    for told in (
        r"| base model | Base\|Model Q8_0 |",
        f"| its file | b.gguf, SHA-256 `{'ab' * 32}` |",
        "| its license | mit |",
        "| starters | 5 of q.txt; license: CC0 |",
        "temperature 0.9",
        "max_echo 0.85",
        "| secrets | 6 | 6 | addresses 1, ",
    ):
        assert told in card
    held = len(read(tmp_path / "chats-held-out.jsonl"))
    assert held
    assert f"{held} of them are held out." in card


def test_the_report_has_counts_ends_and_scenes_to_read(raw: Path, tmp_path: Path) -> None:
    run("filter", raw)
    text = (tmp_path / "chats-report.md").read_text("utf-8")
    assert "| empty line | 88 | " in text
    assert "## 20 scenes to read, drawn at random" in text
    assert text.count("\nScene ") == 20
    assert "| distinct words, pairs, triples | 0." in text


def test_thresholds_change_without_sampling_again(raw: Path) -> None:
    def counts(*more: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("filter", raw, "--force", "--json", *more).stdout)
        return found

    few = counts("--min-lines", 6, "--without", "secrets")
    assert few["dropped"]["structure"] > 5
    assert few["dropped"]["secrets"] == 0
    assert few["kept"] + sum(few["dropped"].values()) == few["scenes"] == 88


def test_sharegpt_without_heads(raw: Path, tmp_path: Path) -> None:
    on = ("--without", "likelihood")
    run("filter", raw, "--out", tmp_path / "x.jsonl", "--sharegpt", "--no-head-lines", *on)
    first = read(tmp_path / "x.jsonl")[0]["conversations"]
    assert first[0] == {"from": "anon", "value": "my bread came out flat again"}


def test_what_is_there_is_not_replaced(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "chats-card.md").write_text("mine", "utf-8")
    with pytest.raises(SettingsError, match=r"chats-card\.md exists already; --force replaces it"):
        run("filter", raw)
    with pytest.raises(StoreError, match="has the raw scenes"):
        run("filter", raw, "--out", raw, "--force")
    with pytest.raises(SettingsError, match="--out names the file"):
        run("filter", raw, raw)
    (tmp_path / "empty-raw.jsonl").touch()
    with pytest.raises(ConversionError, match="There are no scenes in"):
        run("filter", tmp_path / "empty-raw.jsonl")


def test_a_missing_run_file_leaves_the_card_without_an_origin(raw: Path, tmp_path: Path) -> None:
    raw.with_suffix(".run.json").unlink()
    run("filter", raw)
    assert "base model |" not in (tmp_path / "chats-card.md").read_text("utf-8")


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_five_kills_lose_no_finished_scene_and_double_none(base: Path, tmp_path: Path) -> None:
    out, raw = tmp_path / "chats.jsonl", tmp_path / "chats-raw.jsonl"
    numbers = [str(argument) for argument in FAST]
    command = [sys.executable, "-m", "relay_gguf", "synth", str(base), "-o", str(out), *numbers]
    command += ["-n", "400", "--no-filter"]

    def lines() -> int:
        return raw.read_bytes().count(b"\n") if raw.exists() else 0

    for _ in range(5):
        before, process = lines(), subprocess.Popen(command, stderr=subprocess.PIPE)
        while lines() < before + 20 and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        process.communicate()
    standing = raw.read_bytes()
    whole = standing[: standing.rfind(b"\n") + 1]
    assert 100 <= whole.count(b"\n") < 400
    subprocess.run(command, check=True, capture_output=True)
    assert raw.read_bytes().startswith(whole)
    assert sorted(scene["i"] for scene in read(raw)) == [*range(400)]


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_leaves_whole_scenes_and_says_how_to_go_on(base: Path, tmp_path: Path) -> None:
    raw = tmp_path / "chats-raw.jsonl"
    command = [sys.executable, "-m", "relay_gguf", "synth", base, "-o", tmp_path / "chats.jsonl"]
    command += [*map(str, FAST), "-n", "100000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8")
    while not raw.exists() or raw.stat().st_size < 1000:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"scenes are in {raw}; the same command goes on." in told
    assert "Traceback" not in told
    assert raw.read_bytes().endswith(b"\n")


@pytest.mark.thorough
def test_two_processes_with_a_range_each_have_the_scenes_of_one_run(
    base: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "relay_gguf", "synth", str(base), *map(str, FAST)]
    parts = {"a": ("--range", "0-29"), "b": ("--range", "30-59"), "c": ("-n", "60")}
    started = [
        subprocess.Popen([*command, "-o", str(tmp_path / f"{name}.jsonl"), "--no-filter", *which])
        for name, which in parts.items()
    ]
    assert [process.wait() for process in started] == [0, 0, 0]
    ids = {
        name: {(scene["run"], scene["i"]) for scene in read(tmp_path / f"{name}-raw.jsonl")}
        for name in parts
    }
    assert ids["a"] | ids["b"] == ids["c"]
    assert not ids["a"] & ids["b"]
