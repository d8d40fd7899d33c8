"""A llama_cpp that dies or computes wrong numbers, for processes that are started with it.

It is the real library, but for the function that the variable BROKEN names: SIGSEGV:extra ends the
process at a batch of several tokens if the model was loaded with extra buffers, as llama.cpp does
with AMX where GCC compiled it; SIGILL:always at any batch; SIGABRT:import when it is imported;
wrong:extra turns the logits around; nan:extra spoils one, of the first model that is loaded.
"""

from __future__ import annotations

import os
from pathlib import Path

SOURCE = """
import importlib, os, signal, sys

sys.path.remove(os.path.dirname(os.path.dirname(__file__)))
del sys.modules["llama_cpp"]
how, _, where = os.environ["BROKEN"].partition(":")

def end():
    if how == "exception":
        raise RuntimeError("a library is missing")
    if how == "sleep":
        import time
        time.sleep(600)
    os.kill(os.getpid(), getattr(signal, how))

if where == "import":
    end()
real = importlib.import_module("llama_cpp")
load, decode, logits = (
    real.llama_model_load_from_file, real.llama_decode, real.llama_get_logits_ith
)
extra = False
loads = 0

def llama_model_load_from_file(path, params):
    global extra, loads
    extra, loads = params.use_extra_bufts, loads + 1
    return load(path, params)

def broken():
    return where == "always" or (where == "extra" and extra)

def llama_decode(ctx, batch):
    if broken() and how not in ("wrong", "nan") and batch.n_tokens > 1:
        end()
    return decode(ctx, batch)

def llama_get_logits_ith(ctx, index):
    row = logits(ctx, index)
    if broken() and how == "wrong":
        for number in range(200):
            row[number] = -row[number]
    if broken() and how == "nan" and loads == 1:
        row[3] = float("nan")
    return row

real.llama_model_load_from_file = llama_model_load_from_file
real.llama_decode = llama_decode
real.llama_get_logits_ith = llama_get_logits_ith
"""


def package(folder: Path) -> Path:
    """Write it into a folder; what Python's path must begin with."""
    module = folder / "broken" / "llama_cpp"
    module.mkdir(parents=True, exist_ok=True)
    (module / "__init__.py").write_text(SOURCE, "utf-8")
    return module.parent


def environment(folder: Path, how: str) -> dict[str, str]:
    """The variables of a process whose llama_cpp is broken."""
    path = os.pathsep.join(filter(None, [str(package(folder)), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "BROKEN": how}
