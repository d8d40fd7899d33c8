"""What goes wrong between here and the hub, while a base is read where it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hf_weights import Tensor, slices, write_shards
from hub_server import COMMIT, TOKEN, Handler, Mood
from safetensors.numpy import save_file

from relay_gguf.convert.read.checkpoint import Checkpoint, open_folder
from relay_gguf.convert.read.hub_folder import HubFolder, extents, open_hub_folder
from relay_gguf.errors import ConversionError, ModelError
from relay_gguf.hub import ahead, ranged_file
from relay_gguf.hub.api import CachedFolder, RemoteFile, UnreachableError, snapshot
from relay_gguf.hub.intake import Intake, StoppedError
from relay_gguf.hub.ranged_file import RangedFile
from relay_gguf.hub.repo import RepoFolder

Change = Callable[[Mood], None]
BASE = RepoFolder("o/base")
GOLDEN = Path(__file__).parents[2] / "golden" / "convert" / "nf4"
WEIGHTS = shutil.ignore_patterns("*.safetensors")


def silent(text: str) -> None:
    """Nobody is told."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files, and their index."""
    folder, rng = tmp_path_factory.mktemp("shards"), np.random.default_rng(3)
    names = [f"model.layers.{number}.weight" for number in range(9)]
    rows = {name: rng.standard_normal((70, 100), np.float32) for name in names}
    tensors = {name: Tensor("F32", (70, 100), slices(rows[name])) for name in names}
    parts = [{name: tensors[name] for name in names[first::3]} for first in range(3)]
    write_shards(folder, parts)
    return folder


@pytest.fixture(autouse=True)
def small_pieces(hub: type[Handler], shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub has the small files, each of which takes many pieces."""
    small = {"limit": 50_000, "n_connections": 4, "piece": 20_000}
    monkeypatch.setattr(ahead.Ahead.__init__, "__kwdefaults__", small)
    files = {path.name: path.read_bytes() for path in shards.glob("*.safetensors")}
    monkeypatch.setattr(hub, "repos", {"o/base": files, "o/private": files})


@pytest.fixture
def there(shards: Path, tmp_path: Path) -> CachedFolder:
    """What the cache has of it."""
    return CachedFolder(Path(shutil.copytree(shards, tmp_path / "there", ignore=WEIGHTS)), COMMIT)


def read_all(opened: HubFolder) -> dict[str, bytes]:
    """All tensors, fetched ahead as in a conversion."""
    assert opened.fetching
    names = opened.checkpoint.infos
    with opened.fetching.ahead(extents(opened.checkpoint.stored(names))):
        return {name: opened.checkpoint.rows(name).tobytes() for name in names}


def cuts(mood: Mood) -> None:
    mood.cuts = [500, 0, 0, 7000, 0, 1, 19_999, 0]


def hiccups(mood: Mood) -> None:
    mood.statuses = [503, 429, 500, 408, 502, 504]


def short_redirects(mood: Mood) -> None:
    mood.good_for = 3


def latency(mood: Mood) -> None:
    mood.latency = 0.002


def test_what_is_overcome(hub: type[Handler], shards: Path, there: CachedFolder) -> None:
    """Each tensor comes once, and what came before a cut not again."""
    checkpoint = open_folder(shards)
    expected = {name: checkpoint.rows(name).tobytes() for name in checkpoint.infos}
    weights = sum(path.stat().st_size for path in shards.glob("*.safetensors"))
    for change in (cuts, hiccups, short_redirects, latency):
        hub.mood = Mood()
        opened = open_hub_folder(BASE, there, silent)
        change(hub.mood)
        hub.given.clear()
        assert read_all(opened) == expected, change
        assert sum(n_bytes for _, _, n_bytes in hub.given) < weights, change


def whole_files(mood: Mood) -> None:
    mood.ranges = False


def other_etag(mood: Mood) -> None:
    mood.etags = ['"other"'] * 5 + ['"another"']


def shorter(mood: Mood) -> None:
    mood.lies = Lies(lambda content: content[:-1000])


def gone(mood: Mood) -> None:
    mood.down = True


def refused(mood: Mood) -> None:
    mood.statuses, mood.good_for = [403] * 50, 1


class Lies(dict[str, bytes]):
    """Another content for each file."""

    def __init__(self, change: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._change = change

    def get(self, digest: str, content: bytes) -> bytes:  # type: ignore[override]
        return self._change(content)


FATAL = {
    whole_files: r"localhost sends model-0\S+ only whole.*--keep-source downloads whole files",
    other_etag: r'changed on the hub while it was read: it was "other", and.*--restart',
    shorter: r"changed on the hub while it was read: it was \d+ bytes, and is \d+ bytes",
    gone: r"Reading \S+ from the hub broke at .*: Cannot reach the hub .*same command again",
    refused: r"^localhost, where the hub keeps o/base/model-0\S+, answered 403\. A proxy",
}


def test_what_is_not(hub: type[Handler], there: CachedFolder) -> None:
    """One line, and nobody waits forever."""
    for change, said in FATAL.items():
        hub.mood = Mood()
        opened = open_hub_folder(BASE, there, silent)
        change(hub.mood)
        with pytest.raises(ModelError, match=said) as failed:
            read_all(opened)
        assert "\n" not in str(failed.value)


def test_the_token_stays_on_the_hub(
    hub: type[Handler], there: CachedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect leads to another host, which is then asked without asking the hub again."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    read_all(open_hub_folder(RepoFolder("o/private"), there, silent))
    assert len(hub.given) > 15
    redirects = [request for request in hub.requests if "GET /o/private/resolve" in request]
    assert len([request for request in redirects if ".safetensors" in request]) < 12
    assert hub.leaked == []


def test_waits_are_those_that_the_hub_asks_for_and_told_once(
    hub: type[Handler], there: CachedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    said: list[str] = []
    pause = Intake.pause

    def at_once(self: Intake, seconds: float, why: str, stopped: Event) -> None:
        waited.append(seconds)
        pause(self, 0.0, why, stopped)

    monkeypatch.setattr(Intake, "pause", at_once)
    source = open_hub_folder(BASE, there, said.append)
    hub.mood.statuses, hub.mood.retry_after = [429, 503], "7"
    read_all(source)
    assert waited == [7.0, 7.0]
    assert said[0].startswith("The hub answered ")
    assert said[-1] == "The hub answers again."


def test_who_waits_for_the_hub_can_be_stopped(
    hub: type[Handler], there: CachedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C does not wait until the hub answers."""
    told = Event()
    source = open_hub_folder(BASE, there, lambda text: told.set())
    monkeypatch.setattr(ranged_file, "WAITS", (1000.0,))
    hub.mood.down = True
    assert source.fetching
    names = source.checkpoint.infos
    with source.fetching.ahead(extents(source.checkpoint.stored(names))):
        assert told.wait(20)
        fetching = source.fetching._ahead
    assert fetching
    for thread in fetching._threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_thread_that_reads_what_nobody_foresaw_can_be_stopped(
    hub: type[Handler], there: CachedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C waits for the threads that encode; one that reads on afterwards asks nobody."""
    told, said = Event(), list[str]()
    source = open_hub_folder(BASE, there, lambda text: (said.append(text), told.set()))
    monkeypatch.setattr(ranged_file, "WAITS", (30.0,))
    hub.mood.down = True
    assert source.fetching
    name = next(iter(source.checkpoint.infos))
    with ThreadPoolExecutor(1) as pool:
        with suppress(KeyboardInterrupt), source.fetching.ahead([]):
            reading = pool.submit(source.checkpoint.rows, name)
            assert told.wait(20)
            raise KeyboardInterrupt
        for rows in (reading, pool.submit(source.checkpoint.rows, name)):
            with pytest.raises(StoppedError):
                rows.result(20)
    assert len(said) == 1


def test_who_was_stopped_tells_of_no_further_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hung in a connection when all was over ends in silence."""
    said, stopped = list[str](), Event()
    file = RangedFile("o/base", COMMIT, RemoteFile("x", 1000), Intake(said.append))

    def hang(*args: object) -> None:
        stopped.set()
        raise UnreachableError("It took too long.")

    monkeypatch.setattr(ranged_file, "open_part", hang)
    with pytest.raises(StoppedError):
        file.read(100, 200, stopped)
    assert said == []


def test_a_file_that_is_read_in_its_own_order_is_checked(
    hub: type[Handler], there: CachedFolder
) -> None:
    """Also where a mirror marks the checksum as weak, as the hub's own library does it."""
    hub.mood.linked = 'W/"{}"'
    opened = open_hub_folder(BASE, there, silent)
    read_all(opened)
    assert opened.fetching
    assert all(file.checked for file in opened.fetching.files)
    hub.mood.lies = Lies(lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ConversionError, match="came damaged from o/base: its checksum is"):
        read_all(open_hub_folder(BASE, there, silent))


@pytest.mark.parametrize("kind", ["double", "single", "int8"])
def test_weights_with_scales_beside_them(
    kind: str, hub: type[Handler], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scales of a tensor are fetched with it, once, and its state before the plan."""
    path = GOLDEN / f"{kind}.safetensors"
    if kind == "int8":
        codes = np.arange(-3000, 3000).astype(np.int8).reshape(60, 100)
        scales = np.linspace(0.1, 9.0, 60, dtype=np.float32)
        save_file({"x.weight": codes, "x.SCB": scales}, path := tmp_path / "int8.safetensors")
    monkeypatch.setattr(hub, "repos", {"o/base": {"model.safetensors": path.read_bytes()}})
    opened = open_hub_folder(BASE, CachedFolder(tmp_path, COMMIT), silent)
    here = Checkpoint([path])
    assert opened.fetching
    assert opened.checkpoint.infos == here.infos
    with opened.fetching.ahead(extents(opened.checkpoint.stored(here.infos))):
        for name, info in here.infos.items():
            for start in range(0, info.shape[0], 7):
                place = start, min(start + 7, info.shape[0])
                assert np.array_equal(opened.checkpoint.rows(name, *place), here.rows(name, *place))
    assert sum(n_bytes for _, _, n_bytes in hub.given) <= path.stat().st_size


def test_files_of_other_folders_are_not_the_models(
    hub: type[Handler], shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model without an index, all shards; a folder's name may have brackets in it."""
    (one, two, _), whole = sorted(shards.glob("*.safetensors")), b"not of it"
    files = {"a[1]/model-1.safetensors": one.read_bytes(), "a[1]/config.json": b"{}"}
    files |= {"a[1]/model_old/model.safetensors": whole, "a1/model-1.safetensors": whole}
    files |= {"model-1.safetensors": two.read_bytes(), "model_old/x.safetensors": whole}
    monkeypatch.setattr(hub, "repos", {"o/base": files})
    for folder, path in (("a[1]", one), ("", two)):
        opened = open_hub_folder(
            RepoFolder("o/base", folder), CachedFolder(tmp_path, COMMIT), silent
        )
        assert opened.checkpoint.infos == Checkpoint([path]).infos
    assert snapshot(RepoFolder("o/base", "a[1]"), ["*.json"]).folder.name == "a[1]"


def test_a_repository_that_is_gone_is_named(hub: type[Handler], there: CachedFolder) -> None:
    """What the cache has of it may be there still."""
    with pytest.raises(ModelError, match="no repository o/gone on the hub that you may read"):
        open_hub_folder(RepoFolder("o/gone"), there, silent)
