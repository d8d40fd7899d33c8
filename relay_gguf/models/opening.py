"""From the user's settings to a model in memory: finds, downloads and loads it.

For every front end that runs a model; progress is shown on stderr.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from relay_gguf.display import one_line
from relay_gguf.doctor.advice import notices
from relay_gguf.doctor.verdict import verdict
from relay_gguf.errors import MemoryShortError, SettingsError
from relay_gguf.fit.choose import MIN_SPEED, Candidate
from relay_gguf.fit.memory import DEFAULT_N_CTX
from relay_gguf.fit.placement import Plan
from relay_gguf.fit.plan import LoadOptions
from relay_gguf.hub.api import UnreachableError
from relay_gguf.hub.progress import watching
from relay_gguf.hub.watcher import Watcher
from relay_gguf.machine.devices import available_memory
from relay_gguf.settings import ChatSettings

from .listing import slow_line, taken_lines
from .locate import locate
from .suggest import Suggestion, suggest

if TYPE_CHECKING:
    from relay_gguf.llama.batch.batch_engine import BatchEngine
    from relay_gguf.llama.engine import LlamaEngine
    from relay_gguf.llama.isolated.engine import IsolatedEngine


WAITING_BYTES: Final = 2 << 30
Choose = Callable[[Suggestion, Candidate], Candidate]
"""Lets the user choose one of the files; the second argument is the one that Enter takes."""


def find_model(
    named: str | None, settings: ChatSettings, screen: Watcher, *, choose: Choose | None = None
) -> Path:
    """The file of a model: the one named, else that of the settings, else this machine's best.

    Args:
        named: the model argument of the command line.
        settings: the user's settings.
        screen: is asked before a download, and told how far it is.
        choose: asks which file to take if none is fast enough; None takes the fastest.

    Raises:
        DeclinedError: the user chose no file, or does not want the download.
        ModelError: the file is not on this disk, and cannot be downloaded.
        MemoryShortError: no published file fits into this machine.
    """
    model = named or settings.model
    return _best(settings, screen, choose) if model is None else locate(model, screen)


def _best(settings: ChatSettings, screen: Watcher, choose: Choose | None) -> Path:
    """The published file that suits this machine, downloaded if need be."""
    found = suggest(settings.load, settings.min_speed)
    if found.is_slow and choose is not None:
        file = choose(found, found.taken).file
        with watching() as agreed:  # the user has seen its size
            return found.here.get(file.ftype) or locate(file.name, agreed)
    for line in taken_lines(found):
        sys.stderr.write(f"{line}\n")
    file = found.taken.file
    if file.ftype in found.here:
        return found.here[file.ftype]
    try:
        return locate(file.name, screen)
    except UnreachableError as error:
        if not found.here:
            raise
        sys.stderr.write(f"{one_line(str(error))}\n")
    there = [c for c in found.candidates if c.plan and c.file.ftype in found.here]
    if not there:
        raise MemoryShortError(
            "None of Relay's files on this disk fits into memory. `relay-gguf models` lists all."
        )
    return found.here[there[0].file.ftype]


def load(
    path: Path,
    options: LoadOptions,
    *,
    n_threads: int | None = None,
    scene_room: int = 0,
    contexts: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> LlamaEngine | IsolatedEngine | BatchEngine:
    """An engine for a file; with workers, in a process of its own, which they may end.

    With more than one slot it is a `BatchEngine`.

    Args:
        path: a GGUF file.
        options, n_threads, scene_room, contexts, on_progress: as for `LlamaEngine`.

    Raises:
        ModelError, SettingsError: as for `LlamaEngine`.
        WorkerError: an address does not answer, or is not a worker.
    """
    if options.n_slots > 1:
        if options.workers:
            raise SettingsError("n_slots above 1 cannot use workers yet: leave one of both out.")
        from relay_gguf.llama.batch.batch_engine import BatchEngine as Kind
    elif options.workers:
        from relay_gguf.llama.isolated.engine import IsolatedEngine as Kind  # type: ignore[assignment]
    else:
        from relay_gguf.llama.engine import LlamaEngine as Kind  # type: ignore[assignment]

    return Kind(
        path,
        options,
        n_threads=n_threads,
        scene_room=scene_room,
        contexts=contexts,
        on_progress=on_progress,
    )


def load_named(
    model: str | Path, options: LoadOptions, *, n_threads: int | None = None
) -> LlamaEngine | IsolatedEngine | BatchEngine:
    """An engine for a model argument, downloaded if need be, without a question.

    Raises:
        ModelError, SettingsError, WorkerError: as `locate` and `load`.
    """
    with watching() as screen:
        path = locate(model, screen)
    return load(path, options, n_threads=n_threads)


def open_engine(
    path: Path,
    settings: ChatSettings,
    *,
    options: LoadOptions | None = None,
    scene_room: int = 0,
    contexts: Path | None = None,
) -> LlamaEngine | IsolatedEngine | BatchEngine:
    """Load a model, with its progress on stderr if that is a terminal.

    Args:
        path: a GGUF file.
        settings: the user's settings.
        options: to load with, instead of those of the settings.
        scene_room: bytes of RAM for snapshots of conversations that are not in the context.
        contexts: the folder of conversations that go on later; None for nowhere.

    Raises:
        ModelError, SettingsError, WorkerError: as for `load`.
    """
    show, clear = _progress(path) if sys.stderr.isatty() else (None, lambda: None)
    try:
        return load(
            path,
            options or settings.load,
            n_threads=settings.threads,
            scene_room=scene_room,
            contexts=contexts,
            on_progress=show,
        )
    finally:
        clear()


def waiting_bytes() -> int:
    """Bytes of RAM for the KV caches of scenes that wait: at most a quarter of what is free."""
    return min(WAITING_BYTES, (available_memory() or 0) // 4)


def open_slots(
    path: Path,
    settings: ChatSettings,
    options: LoadOptions,
    *,
    scene_room: int = 0,
    contexts: Path | None = None,
) -> BatchEngine:
    """Load a model for many replies at once, even if one slot is all that fits.

    Args:
        path, settings, scene_room, contexts: as for `open_engine`.
        options: to load with.

    Raises:
        ModelError, SettingsError: as for `load`.
    """
    how = {"n_threads": settings.threads, "scene_room": scene_room, "contexts": contexts}
    return _open_batch(path, options, **how)


def open_base(path: Path, options: LoadOptions, n_threads: int | None) -> BatchEngine:
    """Load a model that goes on with plain text, with its progress on stderr; any vocabulary.

    Args:
        path: a GGUF file.
        options: to load with.
        n_threads: threads of the CPU; None for one for each physical core.

    Raises:
        ModelError, SettingsError: as for `BatchEngine`.
    """
    return _open_batch(path, options, n_threads=n_threads, any_chat=True)


def _open_batch(path: Path, options: LoadOptions, **how: Any) -> BatchEngine:
    from relay_gguf.llama.batch.batch_engine import BatchEngine

    show, clear = _progress(path) if sys.stderr.isatty() else (None, lambda: None)
    try:
        return BatchEngine(path, options, on_progress=show, **how)
    finally:
        clear()


def close_engine(engine: LlamaEngine | IsolatedEngine | BatchEngine, patience: float = 1.0) -> None:
    """Close an engine; if that takes more than `patience` seconds, a line on stderr says why."""
    slow = threading.Timer(patience, sys.stderr.write, ["Keeping what the model has read ...\n"])
    slow.daemon = True
    slow.start()
    try:
        engine.close()
    finally:
        slow.cancel()


def loading_notices(plan: Plan, n_tries: int, options: LoadOptions) -> list[str]:
    """Notices for the user: broken devices; where the model is, unless that is as usual in RAM."""
    return [*notices(verdict()), *_placement_notices(plan, n_tries, options)]


def _placement_notices(plan: Plan, n_tries: int, options: LoadOptions) -> list[str]:
    at = plan.settings
    short = at.n_ctx < min(DEFAULT_N_CTX, plan.model.n_ctx_train) and options.n_ctx is None
    saving = at.kv_type != "f16" and options.kv_type is None
    if n_tries > 1:
        return [f"Loading failed for lack of memory; now it is {plan.summary}."]
    if short or saving:
        return [f"Memory is short: {plan.summary}."]
    return [f"The model is loaded: {plan.summary}."] if at.n_gpu_layers else []


def _progress(path: Path) -> tuple[Callable[[float], None], Callable[[], None]]:
    """Functions that show and clear a line of progress; a quick load shows no line."""
    shown = [0]

    def show(share: float) -> None:
        percent = int(share * 100)
        if 0 < percent < 100 and percent != shown[0]:
            shown[0] = percent
            sys.stderr.write(f"\rLoading {one_line(path.name)[:50]} ... {percent} %")
            sys.stderr.flush()

    def clear() -> None:
        if shown[0]:
            sys.stderr.write("\r\x1b[K")

    return show, clear


def suggest_relay_model(min_speed: float | None = None) -> dict[str, Any]:
    """Keyword arguments for `RelayLM`: the best of Relay's published files for this machine.

    `RelayLM` downloads the file unless it is here, and puts as much of it on a GPU as fits. If
    no file is fast enough, the fastest is taken, with a `RuntimeWarning` that says how slow it is.

    Args:
        min_speed: tokens a second that the file must reach, as estimated; None is 5.

    Raises:
        MemoryShortError: none of the files fits.
    """
    found = suggest(min_speed=MIN_SPEED if min_speed is None else min_speed)
    if found.is_slow:
        line = slow_line(found.taken, found.min_speed)
        warnings.warn(line, RuntimeWarning, stacklevel=2)
    return {"model_name_or_path": found.taken.file.name}
