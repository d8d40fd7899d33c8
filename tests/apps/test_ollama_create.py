"""`ollama create`, by a script in Ollama's place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from modelfile_command import NAME, run
from small_files import gguf

from relay_gguf.errors import ModelError, RelayError


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, alone on the PATH; it keeps what it gets in its folder."""
    if sys.platform == "win32":
        pytest.skip("a shell script")
    folder = tmp_path / "bin"
    script(folder / "ollama", version="0.30.2")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(path: Path, version: str, ending: str = "exit 0") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = --version ]; then echo "ollama version is {version}"; exit; fi\n'
        f'printf "%s\\n" "$@" > "{path.parent}/arguments"\n'
        f'while read -r line; do echo "$line"; done < "$4" > "{path.parent}/modelfile"\n'
        f"echo success\n{ending}\n"
    )
    path.chmod(0o755)


def test_create_runs_ollama_with_the_modelfile(
    ollama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = gguf(tmp_path / NAME)
    text, told = run(file, "--create")
    assert (text, told) == ("Now: ollama run relay-smollm2-135m:q4_k_m\n", "")
    assert capfd.readouterr().out == "success\n", "its progress is seen"
    command = (ollama / "arguments").read_text().splitlines()
    assert command[:3] == ["create", "relay-smollm2-135m:q4_k_m", "-f"]
    assert not Path(command[3]).exists(), "a temporary file"
    assert (ollama / "modelfile").read_text() == run(file)[0]


def test_create_takes_a_modelfile_that_stays(
    ollama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "Modelfile"
    run(gguf(tmp_path / NAME), "--create", "--name", "relay", "--out", out)
    assert (ollama / "arguments").read_text().splitlines() == ["create", "relay", "-f", str(out)]
    assert (ollama / "modelfile").read_text() == out.read_text()


def test_a_failure_of_ollama_is_told(
    ollama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script(ollama / "ollama", "0.30.2", "echo 'Error: no server' >&2; exit 3")
    with pytest.raises(ModelError, match=r"`ollama create relay` failed \(3\); see above why"):
        run(gguf(tmp_path / NAME), "--create", "--name", "relay")
    assert capfd.readouterr().err == "Error: no server\n"


def test_an_old_ollama_is_told(
    ollama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script(ollama / "ollama", "0.29.9")
    assert "too old for the file's template" in run(gguf(tmp_path / NAME), "--create")[1]
    script(ollama / "ollama", "unknown")
    assert run(gguf(tmp_path / NAME), "--create")[1] == ""


def test_a_program_that_cannot_be_run_is_told(ollama: Path, tmp_path: Path) -> None:
    (ollama / "ollama").write_text("#!/no/such/shell\n")
    with pytest.raises(ModelError, match=r"Cannot run .*ollama: No such file"):
        run(gguf(tmp_path / NAME), "--create")


def test_a_missing_ollama_is_told(ollama: Path, tmp_path: Path) -> None:
    (ollama / "ollama").unlink()
    out = tmp_path / "Modelfile"
    with pytest.raises(RelayError, match=r"no `ollama` on the PATH: install it"):
        run(gguf(tmp_path / NAME), "--create", "--out", out)
    assert not out.exists()
