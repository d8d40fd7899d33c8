"""Bases and adapters of the hub, served on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hf_models import PICO, write_adapter, write_mistral
from hf_tokenizers import write_small_tokenizer, write_tokenizer
from hub_server import Repos, serving

from relay_gguf.gguf_file.header import read_header


@pytest.fixture(scope="module")
def repos(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Repos:
    root = tmp_path_factory.mktemp("hub")
    tokenizer = write_small_tokenizer(root / "small", write_tokenizer(root / "full", smollm2))
    base = write_mistral(root / "base", tokenizer, PICO, shard_bytes=1_000_000)
    adapter = write_adapter(root / "adapter", base)
    folders = {"o/base": base, "o/adapter": adapter}
    files = {name: {p.name: p.read_bytes() for p in at.iterdir()} for name, at in folders.items()}
    # The same weights in another form, which Mistral's repositories have too.
    return files | {"o/base": files["o/base"] | {"consolidated.safetensors": b"twice"}}


def convert(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from relay_gguf.cli.app import main; main(['convert', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, *arguments, "--pre", "smollm"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.thorough
def test_a_base_and_an_adapter_of_the_hub_are_merged(
    repos: Repos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with serving(repos, monkeypatch, str(tmp_path / "hf")) as hub:
        run = convert("o/base", "--adapter", "o/adapter", "--out", str(out), "-q", "Q8_0")
        assert run.returncode == 0, run.stderr
        assert not [request for request in hub.requests if "consolidated" in request]
    keys = {
        name: key.value for name, key in read_header(out / "adapter-Q8_0.gguf").metadata.items()
    }
    assert keys["relay.source"] == "o/base"
    assert keys["relay.adapter"] == "o/adapter"
    assert keys["general.base_model.0.repo_url"] == "https://huggingface.co/o/base"


@pytest.mark.thorough
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_folder_in_a_repository_and_a_revision(
    options: tuple[str, ...], repos: Repos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a name and as the link that a browser shows."""
    within = {f"sub/m1/{name}": content for name, content in repos["o/base"].items()}
    steps = {f"checkpoint-9/{name}": content for name, content in repos["o/adapter"].items()}
    lora = "https://huggingface.co/o/lora/tree/v2/checkpoint-9?x=1"
    with serving({"o/many": within, "o/lora": steps}, monkeypatch, str(tmp_path / "hf")) as hub:
        given = ("o/many@v1/sub/m1", "--adapter", lora, *options)
        run = convert(*given, "--out", str(tmp_path / "out"), "-q", "Q8_0")
        missing = convert("o/many/none", "--out", str(tmp_path / "out2"), "-q", "Q8_0", *options)
        asked = [path for path in hub.requests if "/revision/" in path]
    assert run.returncode == 0, run.stderr
    assert {"v1", "v2"} <= {path.rpartition("/")[2] for path in asked}
    assert missing.returncode == 1
    assert "o/many has no folder none with a model or an adapter" in missing.stderr
    if options:
        assert "o/lora@v2/checkpoint-9 merged into o/many@v1/sub/m1" in run.stdout
        return
    metadata = read_header(tmp_path / "out" / "lora-Q8_0.gguf").metadata
    keys = {name: key.value for name, key in metadata.items()}
    assert keys["relay.source"] == "o/many@v1/sub/m1"
    assert keys["relay.adapter"] == "o/lora@v2/checkpoint-9"
    assert keys["general.base_model.0.repo_url"] == "https://huggingface.co/o/many"


@pytest.mark.thorough
def test_a_dry_run_downloads_no_weights(
    repos: Repos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    padded = {name: content + bytes(300_000) for name, content in repos["o/base"].items()}
    weights = {name: padded[name] for name in padded if name.endswith(".safetensors")}
    with serving(repos | {"o/base": repos["o/base"] | weights}, monkeypatch, str(tmp_path)) as hub:
        run = convert("o/base", "--out", str(tmp_path / "out"), "-q", "Q8_0", "--dry-run")
        assert run.returncode == 0, run.stderr
        heads = [request for request in hub.requests if ".safetensors" in request]
        assert heads
        assert max(hub.sent) < 300_000
    assert "Q8_0" in run.stdout
    assert not (tmp_path / "out").exists()


REFUSED = {
    ("o/none",): "no repository o/none on the hub",
    ("o/gated",): "o/gated is gated: accept its terms",
    ("o/base", "--adapter", "o/none"): "no repository o/none on the hub",
    ("o/adapter",): "It is an adapter: give it as --adapter",
    ("o/base", "--adapter", "o/base"): "It is a whole model: give it as BASE",
    ("o/base@v1/a-F16.gguf",): "relay-gguf download o/base@v1/a-F16.gguf",
    ("o/base", "--adapter", "o/adapter/lora.gguf"): "o/adapter has no file lora.gguf",
}


def test_repositories_without_a_model_are_refused(
    repos: Repos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one process, as its imports take longer than its answers."""
    code = """
import json, sys
from relay_gguf.cli.app import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as ended:
        print(f"\\n{arguments[1:-6]}: status {ended.code}", file=sys.stderr)
"""
    rest = ["--out", str(tmp_path / "out"), "-q", "Q8_0", "--pre", "smollm"]
    commands = json.dumps([["convert", *arguments, *rest] for arguments in REFUSED])
    with serving(repos, monkeypatch, str(tmp_path / "hf")):
        run = subprocess.run(
            [sys.executable, "-c", code, commands], capture_output=True, text=True, check=False
        )
    said = run.stderr
    for arguments, message in REFUSED.items():
        answer, ended, said = said.partition(f"{[*arguments]}: status 1\n")
        assert ended, answer
        assert message in answer
        assert "Traceback" not in answer
    assert not (tmp_path / "out").exists()
