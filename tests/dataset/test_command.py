"""`relay-gguf dataset`, as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dataset.client_logs import LOGS
from dataset.dataset_runs import APP, read, run
from typer.testing import CliRunner

from relay_gguf.dataset.regions import usual_regions
from relay_gguf.dataset.rules.phones import REGIONS
from relay_gguf.errors import RelayError, SettingsError

TABLE = """\
files                              1  irssi 1
lines                             22
  known                           22
  unknown                          0
left out
  messages with secrets            0
conversations                      1
messages                          14  3 of the model
tokens                           137  about
Phone numbers without a plus were looked for as they are written in US, GB, DE, FR, ES, IT, NL, \
PL, BR, RU; --region names other countries.
"""


@pytest.fixture(autouse=True)
def _no_country(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locale that tells no country."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def test_conversations_go_to_a_file(log: Path, tmp_path: Path) -> None:
    done = run("dataset", log, "--as", "ann", "-o", tmp_path / "out.jsonl")
    assert done.stdout == ""
    assert done.stderr == TABLE
    (found,) = read(tmp_path / "out.jsonl")
    assert found["messages"][0] == {"role": "anon", "content": "/join #boats"}
    assert found["messages"][-1] == {"role": "user", "content": "well"}


def test_conversations_go_to_a_pipe(log: Path) -> None:
    done = run("dataset", log, "--as", "ann", "--sharegpt")
    (found,) = map(json.loads, done.stdout.splitlines())
    assert found["conversations"][-1] == {"from": "user", "value": "well"}
    assert done.stderr == TABLE


def test_regions_are_those_whose_phone_numbers_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "#boats.log"
    log.write_text("12:00 <bob> 0660 1234567\n12:00 <bob> (415) 555-2671\n12:01 <ann> ok\n")

    def kept(*more: str) -> list[str]:
        done = run("dataset", log, "--as", "ann", *more)
        assert ("Phone numbers without" in done.stderr) is not bool(more)
        (found,) = map(json.loads, done.stdout.splitlines())
        return [line["content"] for line in found["messages"][3:-1]]

    assert kept("--region", "at") == ["(415) 555-2671"]
    assert kept("--region", "US") == ["0660 1234567"]
    assert kept("--region", "US,FR", "--region", "at") == []


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({"LANG": "de_AT.UTF-8"}, "AT"),
        ({"LANG": "de_AT.UTF-8", "LC_TELEPHONE": "se_NO"}, "NO"),
        ({"LC_ALL": "pt_BR", "LANG": "de_AT"}, "BR"),
        ({"LANG": "C"}, "US"),
        ({"LANG": "eo_XX.UTF-8"}, "US"),
    ],
)
def test_the_usual_regions_begin_with_that_of_the_locale(
    environment: dict[str, str], first: str
) -> None:
    found = usual_regions(environment)
    assert found[0] == first
    assert set(found) == {first, *REGIONS}
    assert len(found) == len(set(found))


def test_on_a_terminal_conversations_are_only_counted(log: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    code = "from relay_gguf.cli.dataset import dataset; import typer; typer.run(dataset)"
    seen, status = pexpect.run(
        f"{sys.executable} -c '{code}' '{log}' --as ann", withexitstatus=True, encoding="utf-8"
    )
    assert status == 0
    assert "messages" in seen
    assert "/join" not in seen
    assert "Nothing was written; --out FILE writes it." in seen


def test_counts_as_json(log: Path, tmp_path: Path) -> None:
    (tmp_path / "no.log").write_text("?\n")
    (tmp_path / "bios.toml").write_text('ann = "a sailor"\n')
    done = run(
        "dataset",
        log,
        tmp_path / "no.log",
        "--as",
        "ann",
        "--bios",
        tmp_path / "bios.toml",
        "--json",
    )
    found = json.loads(done.stdout)
    assert found["files"] == {"read": 1, "irssi": 1}
    assert found["skipped"][0]["file"].endswith("no.log")
    assert (found["lines"], found["known"], found["unknown"]) == (22, 22, 0)
    assert (found["conversations"], found["messages"], found["replies"]) == (1, 16, 3)
    assert found["secrets"] == {"all": 0}


def test_without_a_model_it_lists_who_speaks(log: Path) -> None:
    with pytest.raises(SettingsError, match=r"--as .* bob \(2\), ann \(2\), ann_ \(1\)\.$"):
        run("dataset", log)


def test_without_any_log_it_says_why(tmp_path: Path) -> None:
    """An export of Discord is not one; what `--format` takes would not help."""
    (tmp_path / "chat.json").write_text('{"messages": [{"content": "hi"}]}')
    why = r"No file is a log that can be read\. .*chat\.json: it is not a log of irssi, weechat"
    for arguments in ([], ["--as", "ann"]):
        with pytest.raises(RelayError, match=why):
            run("dataset", tmp_path, *arguments)


def test_unknown_lines_are_written_out(log: Path, tmp_path: Path) -> None:
    with log.open("a") as file:
        file.write("what?\n")
    done = run("dataset", log, "--as", "ann", "--unknown", tmp_path / "unknown.txt")
    assert (tmp_path / "unknown.txt").read_text() == f"{log}:23:what?\n"
    assert "unknown 1 --unknown FILE writes them out" in " ".join(done.stderr.split())


def test_duplicates_are_written_once(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = run("dataset", log, log, "--as", "ann", "-o", out)
    assert len(read(out)) == 1
    assert "seen before 1" in " ".join(done.stderr.split())


def test_a_share_of_conversations_is_held_out(many: Path, tmp_path: Path) -> None:
    out, held = tmp_path / "out.jsonl", tmp_path / "out-held-out.jsonl"

    def split(seed: int, *more: Path) -> tuple[str, str]:
        run(
            "dataset",
            *more,
            many,
            "--as",
            "ann",
            "-o",
            out,
            "--split",
            0.2,
            "--seed",
            seed,
            "--force",
        )
        return out.read_text(), held.read_text()

    first = split(1)
    assert 20 < len(read(held)) < 60
    assert len(read(held)) + len(read(out)) == 200
    assert split(1) == first
    assert split(2) != first
    other = tmp_path / "#other.log"
    other.write_text(LOGS["irssi"])
    again = split(1, other)
    assert set(first[1].splitlines()) <= set(again[1].splitlines())
    assert set(first[0].splitlines()) <= set(again[0].splitlines())


def test_a_tokenizer_counts_the_tokens(log: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    out = tmp_path / "out.jsonl"
    done = run("dataset", log, "--as", "ann", "--tokenizer", tmp_path, "--json", "-o", out)
    (found,) = read(out)
    words = [len(line["content"].split()) for line in found["messages"]]
    assert json.loads(done.stdout)["tokens"] == sum(words) + 5 * len(words)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("no.log", "--as", "a"), "There is no file no.log"),
        (("{log}", "--as", "a", "--split", "0.1"), "--split needs --out"),
        (("{log}", "--as", "ann", "--min-replies", "9"), "came out. The model says too little in"),
        (("{log}", "--as", "a", "--format", "mirc"), "--format is 'mirc'; it may be irssi"),
        (
            ("{log}", "--as", "a", "--region", "DE,Germany"),
            "--region GERMANY is not a country's code",
        ),
        (("{log}", "--as", "a", "--region", ","), "--region needs a country's code"),
        (("{log}", "--as", "a", "-o", "{log}"), "exists already; --force"),
        (("{log}", "--as", "a", "--bios", "{log}"), "is not a TOML file"),
        (("{log}", "--as", "a", "--tokenizer", "{log}"), "Cannot read the tokenizer"),
        (("{log}", "--as", "a", "-o", "{log}/no/out"), "Cannot write"),
    ],
)
def test_options_that_cannot_be_are_refused(
    arguments: tuple[str, ...], why: str, log: Path
) -> None:
    before = log.read_text()
    with pytest.raises(RelayError, match=why):
        run("dataset", *(argument.format(log=log) for argument in arguments))
    assert log.read_text() == before


def test_holding_all_out_is_refused(log: Path, tmp_path: Path) -> None:
    """One conversation falls on one side; the training's is not left empty."""
    out = tmp_path / "out.jsonl"
    for seed in range(20):
        arguments = ["dataset", log, "--as", "ann", "-o", out, "--split", "0.5", "--seed", seed]
        done = CliRunner().invoke(APP, [str(argument) for argument in arguments])
        if done.exception is not None:
            break
        assert out.stat().st_size > 0
        for path in (out, tmp_path / "out-held-out.jsonl"):
            path.unlink()
    assert str(done.exception).startswith("All conversations were held out")
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_a_nick_that_nobody_has_is_told_with_those_who_speak(log: Path, tmp_path: Path) -> None:
    """The counts say what was left out, no empty file is left to be trained on."""
    out, unknown = tmp_path / "out.jsonl", tmp_path / "unknown"
    arguments = ["dataset", log, "--as", "zed", "-o", out, "--unknown", unknown]
    done = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    assert str(done.exception) == (
        "No conversation came out. --as must name somebody who answers. "
        "Who speaks: bob (2), ann (2), ann_ (1)."
    )
    assert "conversations without a reply 1" in " ".join(done.stderr.split())
    assert not out.exists()
    assert unknown.read_text() == ""


def test_nothing_is_left_of_a_run_that_failed(log: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        run("dataset", log, "--as", "a", "-o", tmp_path / "out.jsonl", "--format", "mirc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["#boats.log"]


def test_importing_the_command_loads_nothing_heavy() -> None:
    code = "import sys, relay_gguf.cli.dataset; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "llama_cpp", "tokenizers", "relay_gguf.dataset.build", "yaml"}
    heavy |= {"phonenumbers", "detect_secrets", "requests"}
    assert heavy.isdisjoint(loaded.stdout.split())
