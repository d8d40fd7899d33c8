"""Fixtures: folders of no one, and the real engine on small models."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

# Before anything of ours is imported, which looks for its verdict on this machine's llama.cpp.
_FOLDERS = Path(tempfile.mkdtemp(prefix="relay-gguf-tests-"))
atexit.register(shutil.rmtree, _FOLDERS, ignore_errors=True)
_XDG = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
_HOMES = ("HOME", "USERPROFILE", "LOCALAPPDATA", "HF_HOME", "OLLAMA_MODELS")
os.environ |= {name: str(_FOLDERS / name.lower()) for name in (*_XDG, *_HOMES)}
# No test asks the real hub: the library reads this when it is imported.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from made_once import made_once  # noqa: E402
from pico import write_pico  # noqa: E402

from relay_gguf import LlamaEngine  # noqa: E402
from relay_gguf.doctor import verdict as kept  # noqa: E402
from relay_gguf.doctor.fingerprint import fingerprint  # noqa: E402
from relay_gguf.llama.native import lib as llama_cpp  # noqa: E402
from relay_gguf.models.demo import Demo, demo_model, find_demo  # noqa: E402

_KEY, _VERDICT = fingerprint(), kept.verdict()

settings.register_profile("default run", deadline=None, derandomize=True, max_examples=25)
settings.register_profile("thorough", deadline=None, derandomize=True, max_examples=300)
settings.load_profile("default run")

# A shell's background job is deaf to Ctrl-C, and so are its children: tests send it to both.
signal.signal(signal.SIGINT, signal.default_int_handler)


ASKED_FOR = (
    "browser",
    "clients",
    "grids",
    "llm",
    "openai",
    "plots",
    "safety",
    "thorough",
    "torch",
    "vulkan",
)


def pytest_configure(config: pytest.Config) -> None:
    if "thorough" in config.option.markexpr:
        settings.load_profile("thorough")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long or needs something else installed is tested if its marker is asked for.

    A thorough run also tries each property on more examples than the default run.
    """
    if "thorough" in config.option.markexpr:
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker("thorough")
    unasked = [name for name in ASKED_FOR if name not in config.option.markexpr]
    left = [item for item in items if any(map(item.get_closest_marker, unasked))]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the folders of the person who runs it.

    The verdict on llama.cpp is there: whoever starts the program need not ask again.
    """
    folders = tmp_path.with_name(f"{tmp_path.name}-home")  # a test may list its own folder
    for name in (*_XDG, *_HOMES):
        monkeypatch.setenv(name, str(folders / name.lower()))
    kept.keep(kept.kept_path(), _KEY, _VERDICT)
    for name in ("NO_COLOR", "RELAY_MODEL", "RELAY_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """A test that asks for --debug leaves no handler to the next one, whose stderr is another."""
    loggers = [logging.getLogger(name) for name in ("relay_gguf", "gguf", "metadata")]
    before = [(logger, logger.level, [*logger.handlers]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct, Q4_1."""
    return demo_model()


@pytest.fixture(scope="session")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo model, converted once for all tests."""
    from relay_gguf.cli.demo import make

    def fill(folder: Path) -> None:
        for _ in make(replace(found, folder=folder / "made")):
            pass

    found = find_demo()
    return replace(found, folder=made_once(tmp_path_factory, "demo", fill) / "made")


@pytest.fixture
def demo(made_demo: Demo) -> Path:
    """The demo model, in this test's cache."""
    found = find_demo()
    found.folder.mkdir(parents=True)
    for path in made_demo.folder.iterdir():
        os.link(path, found.folder / path.name)
    return found.path


@pytest.fixture(scope="session")
def smollm2_engine(smollm2: Path) -> Iterator[LlamaEngine]:
    """The real model, loaded once."""
    with LlamaEngine(smollm2) as engine:
        yield engine


@pytest.fixture(scope="session")
def pico(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random float32 model of two small layers, with SmolLM2's tokenizer."""
    return write_pico(tmp_path_factory.mktemp("pico") / "pico.gguf", smollm2)


@pytest.fixture
def pico_engine(pico: Path) -> Iterator[LlamaEngine]:
    """An engine whose cache no other test has touched."""
    with LlamaEngine(pico, n_threads=1) as engine:
        yield engine


@pytest.fixture(scope="session")
def smollm2_f16(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 in F16: its results depend less on how a prompt was cut into batches."""
    name = "smollm2-F16.gguf"

    def fill(folder: Path) -> None:
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_F16
        params.allow_requantize = True
        params.nthread = 2
        source, path = str(smollm2).encode(), str(folder / name).encode()
        assert llama_cpp.llama_model_quantize(source, path, params) == 0

    return made_once(tmp_path_factory, "smollm2-f16", fill) / name
