"""Models that are on this disk already: the hub's cache, LM Studio's folder, Ollama's store."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from relay_gguf.apps.ollama_store import StoredName, parse_stored
from relay_gguf.errors import ModelError
from relay_gguf.hub import download as hub_download
from relay_gguf.hub.api import UnreachableError
from relay_gguf.hub.checksum import promised, verify
from relay_gguf.hub.repo import RepoFile
from relay_gguf.models.locate import find, locate

DIGEST = "a" * 64


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it, and no network."""

    def refused(wanted: RepoFile, watcher: object = None) -> Path:
        raise UnreachableError(f"Cannot reach the hub for {wanted}.")

    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr("relay_gguf.apps.ollama_store._SERVICE", home / "service")
    monkeypatch.setattr(hub_download, "fetch", refused)
    return home


def put(path: Path, content: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def cache(home: Path, *names: str, repo: str = "o/r", commit: str = "c") -> Path:
    """Files in the hub's cache; the folder of the snapshot."""
    snapshot = home / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / commit
    for name in names:
        put(snapshot / name)
    return snapshot


def pull(store: Path, name: str, *layers: str, content: bytes = b"GGUF v3") -> Path:
    """A model in a store of Ollama's; the file of its first layer."""
    types = {"model": "application/vnd.ollama.image.model", "system": "application/vnd.x"}
    said = [{"mediaType": types[of], "digest": f"sha256:{n:064x}"} for n, of in enumerate(layers)]
    put(store / "manifests" / name, json.dumps({"schemaVersion": 2, "layers": said}).encode())
    return put(store / "blobs" / f"sha256-{0:064x}", content)


def test_a_path_stays_a_path(tmp_path: Path) -> None:
    assert locate(tmp_path / "x.gguf") == tmp_path / "x.gguf"
    assert locate("nowhere.gguf") == Path("nowhere.gguf")
    assert locate("no-such-model") == Path("no-such-model")
    assert locate("~") == Path.home()
    assert find("nowhere.gguf") is None


def test_a_later_part_is_the_model(tmp_path: Path) -> None:
    first, second = (tmp_path / f"m-F16-0000{n}-of-00002.gguf" for n in (1, 2))
    put(second)
    assert find(second) == second, "what is missing is said by what opens it"
    put(first)
    assert find(second) == first


def test_a_model_in_the_hubs_cache_is_found(home: Path) -> None:
    snapshot = cache(home, "r-Q8_0.gguf", "sub/r-Q4_K_M.gguf", "r-F16-00001-of-00002.gguf")
    assert find("o/r") == snapshot / "sub/r-Q4_K_M.gguf"
    assert find("o/r:q8_0") == snapshot / "r-Q8_0.gguf"
    assert find("hf.co/o/r:Q8_0") == snapshot / "r-Q8_0.gguf"
    assert find("o/r/sub/r-Q4_K_M.gguf") == snapshot / "sub/r-Q4_K_M.gguf"
    assert find("o/r:F16") is None, "a part is missing"
    put(snapshot / "r-F16-00002-of-00002.gguf")
    assert find("o/r:F16") == snapshot / "r-F16-00001-of-00002.gguf"
    assert find("o/other") is None


def test_the_newest_snapshot_goes_first(home: Path) -> None:
    old, new = cache(home, "r-Q4_K_M.gguf"), cache(home, "r-Q4_K_M.gguf", commit="d")
    os.utime(old, (1, 1))
    assert find("o/r") == new / "r-Q4_K_M.gguf"
    (new / "r-Q4_K_M.gguf").unlink()
    (new / "r-Q4_K_M.gguf").symlink_to("../../blobs/gone")
    assert find("o/r") == old / "r-Q4_K_M.gguf"


def test_another_type_is_better_than_none(home: Path) -> None:
    with pytest.raises(UnreachableError, match=r"Cannot reach the hub for o/r. `relay-gguf chat -"):
        locate("o/r")
    other = cache(home, "r-Q8_0.gguf") / "r-Q8_0.gguf"
    assert find("o/r") is None
    assert locate("o/r") == other
    with pytest.raises(UnreachableError):
        locate("o/r:Q4_K_M")


def test_a_model_in_lm_studios_folder_is_found(home: Path) -> None:
    models = home / ".lmstudio" / "models"
    found = put(models / "o" / "r" / "r-Q4_K_M.gguf")
    put(models / "o" / "r" / "mmproj-r-F16.gguf")
    assert find("o/r") == found
    assert find("o/r:Q4_K_M") == found
    assert find("o/r/r-Q4_K_M.gguf") == found
    assert find("o/r:Q8_0") is None
    elsewhere = put(home / "disk" / "o" / "r" / "r-Q8_0.gguf")
    settings = {"downloadsFolder": str(home / "disk")}
    put(home / ".lmstudio" / "settings.json", json.dumps(settings).encode())
    assert find("o/r:Q8_0") == elsewhere
    cached = cache(home, "r-Q8_0.gguf") / "r-Q8_0.gguf"
    assert find("o/r:Q8_0") == cached, "the hub's cache goes first"


@pytest.mark.parametrize(
    ("model", "manifest"),
    [
        ("llama3", "registry.ollama.ai/library/llama3/latest"),
        ("llama3:latest", "registry.ollama.ai/library/llama3/latest"),
        ("Llama3:8B", "registry.ollama.ai/library/llama3/8b"),
        ("somebody/relay:q8_0", "registry.ollama.ai/somebody/relay/q8_0"),
        ("registry.ollama.ai/library/llama3:8b", "registry.ollama.ai/library/llama3/8b"),
        ("hf.co/o/R-GGUF:Q8_0", "hf.co/o/R-GGUF/Q8_0"),
        ("o/R-GGUF:Q8_0", "hf.co/o/R-GGUF/Q8_0"),
        ("o/R-GGUF:q8_0", "huggingface.co/o/r-gguf/Q8_0"),
        ("o/R-GGUF", "hf.co/o/R-GGUF/latest"),
        ("o/R-GGUF", "hf.co/o/R-GGUF/Q4_K_M"),
        ("o/R-GGUF/R-Q8_0.gguf", "hf.co/o/R-GGUF/R-Q8_0.gguf"),
    ],
)
@pytest.mark.parametrize("place", ["home", "named", "service"])
def test_a_model_in_ollamas_store_is_found(
    home: Path, monkeypatch: pytest.MonkeyPatch, model: str, manifest: str, place: str
) -> None:
    store = home / {"home": ".ollama/models"}.get(place, place)
    if place == "named":
        monkeypatch.setenv("OLLAMA_MODELS", str(store))
    assert find(model) is None
    blob = pull(store, manifest, "model", "system")
    if place == "service" and sys.platform != "linux":
        pytest.skip("Ollama's service is one of Linux")
    assert find(model) == blob
    assert promised(blob) == f"{0:064x}"


@pytest.mark.parametrize(
    ("model", "layers", "content"),
    [
        ("relay", ["system"], b"GGUF"),
        ("relay", ["model", "model"], b"GGUF"),
        ("relay", ["model"], b"safetensors"),
        ("relay", ["model"], b""),
    ],
)
def test_ollama_has_it_in_another_form(
    home: Path, model: str, layers: list[str], content: bytes
) -> None:
    manifest = f"registry.ollama.ai/library/{model}/latest"
    pull(home / ".ollama/models", manifest, *layers, content=content)
    with pytest.raises(ModelError, match=r"Ollama has .*/relay:latest, but not as one GGUF"):
        find(model)


def test_what_ollama_cannot_say(home: Path) -> None:
    manifest = put(home / ".ollama/models/manifests/registry.ollama.ai/library/relay/latest", b"{")
    with pytest.raises(ModelError, match="latest cannot be read: Expecting"):
        find("relay")
    evil = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../secret"}
    manifest.write_text(json.dumps({"layers": [evil, 1, {"mediaType": 2}]}))
    with pytest.raises(ModelError, match="but not as one GGUF file"):
        find("relay")
    pull(home / ".ollama/models", "registry.ollama.ai/o/r/latest", "system")
    assert find("o/r") is None, "the hub may have it"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("relay", StoredName("relay")),
        ("me/relay:v1", StoredName("relay", "v1", "me")),
        ("hf.co/o/r.v1:Q8_0", StoredName("r.v1", "Q8_0", "o", "hf.co")),
        ("localhost:5000/o/r", StoredName("r", namespace="o", host="localhost:5000")),
        ("relay.gguf", None),
        ("../relay", None),
        ("relay:..", None),
        ("..", None),
        ("~", None),
        ("a b", None),
    ],
)
def test_names_of_ollama(model: str, name: StoredName | None) -> None:
    assert parse_stored(model) == name


def test_files_are_checked_by_their_names(tmp_path: Path) -> None:
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"
    blob = put(tmp_path / "blobs" / digest, b"x")
    link = tmp_path / "x.gguf"
    link.symlink_to(f"blobs/{digest}")
    assert verify(link)
    assert verify(blob)
    assert not verify(put(tmp_path / "y.gguf"))
    blob.write_bytes(b"y")
    with pytest.raises(ModelError, match=rf"damaged: its SHA-256 is .* be {digest}. Delete {blob}"):
        verify(link)
    # The hub's library can share blobs between repositories, by another kind of checksum.
    blob.unlink()
    blob.symlink_to(put(tmp_path / "shared" / DIGEST, b"x"))
    assert verify(link)
