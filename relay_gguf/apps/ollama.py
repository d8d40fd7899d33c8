"""Modelfiles, from which Ollama makes a model of a GGUF file.

From version 0.30 on, Ollama uses the chat template inside the file, unless the Modelfile has a
TEMPLATE. It does not use the sampling defaults inside, but sends its own: the Modelfile has them.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from relay_gguf import disk
from relay_gguf.errors import ModelError, SettingsError, StoreError
from relay_gguf.fit.memory import DEFAULT_N_CTX
from relay_gguf.gguf_file.header import Metadata
from relay_gguf.gguf_file.name import parse_name
from relay_gguf.sampling import DEFAULTS

FIRST_LINE: Final = "# Relay for Ollama, by relay-gguf."
MIN_VERSION: Final = (0, 30)
_END: Final = "<|im_end|>"
_SAMPLING: Final[Mapping[str, tuple[str, float]]] = {
    "temperature": ("temp", DEFAULTS.temperature),
    "top_k": ("top_k", DEFAULTS.top_k),
    "top_p": ("top_p", DEFAULTS.top_p),
    "min_p": ("min_p", DEFAULTS.min_p),
    "repeat_penalty": ("penalty_repeat", DEFAULTS.repeat_penalty),
    # Never -1, which some versions read as the whole context and others as none of it.
    "repeat_last_n": ("penalty_last_n", DEFAULT_N_CTX),
}
"""Ollama's parameter → the end of its key in the file's metadata, and the default."""


def modelfile(file: Path, metadata: Metadata, name: str, out: Path | None = None) -> str:
    """The text of a Modelfile.

    Args:
        file: the model.
        metadata: of the file.
        name: of the model in Ollama, for the comment with the commands to type.
        out: the path of the Modelfile; one beside the model names it without its folder.

    Raises:
        ModelError: the model is split, or its path has characters that Ollama drops.
    """
    if parse_name(file.name).count > 1 or "split.count" in metadata:
        raise ModelError(
            f"{file.name} is a shard of a split model, which Ollama does not take. "
            "`llama-gguf-split --merge` makes one file of them."
        )
    beside = out is not None and out.absolute().parent == file.absolute().parent
    path = f"./{file.name}" if beside else str(file.absolute())
    if not path.isprintable():
        raise ModelError(f"Ollama cannot read the name {path!r}. Rename the file or its folder.")
    if path != path.strip():
        path = f'"{path}"'
    lines = [
        f"{FIRST_LINE} Needs Ollama {'.'.join(map(str, MIN_VERSION))} or newer.",
        f"#   ollama create {name} -f {_quoted(out or Path('Modelfile'))}",
        f"#   ollama run {name}",
        "# There is no TEMPLATE here, so that the one in the file is used.",
        f"FROM {path}",
        *(f"PARAMETER {option} {number}" for option, number in _sampling(metadata).items()),
        f"PARAMETER num_predict {DEFAULTS.max_tokens}",
        f"PARAMETER num_ctx {_n_ctx(metadata)}",
    ]
    if not _ends_turns(metadata):
        lines.append(f'PARAMETER stop "{_END}"')
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> bool:
    """Write a Modelfile; False if the same one exists already.

    Raises:
        StoreError: another file has that name, or the Modelfile cannot be written.
    """
    try:
        if path.exists():
            with path.open("rb") as file:
                found = file.read(len(text.encode()) + 1)
            if found == text.encode():
                return False
            if not found.startswith(FIRST_LINE.encode()):
                raise StoreError(f"{path} is another file. Name a new one with --out.")
        disk.write_whole(path, text.encode())
    except OSError as error:
        raise StoreError(f"Cannot write {path}: {error.strerror}.") from error
    return True


def find_program() -> str:
    """The path of the program `ollama`.

    Raises:
        SettingsError: it is not on the PATH.
    """
    found = shutil.which("ollama")
    if found is None:
        raise SettingsError(
            "There is no `ollama` on the PATH: install it from https://ollama.com, or leave out "
            "--create and take the Modelfile to where it is."
        )
    return found


def version(program: str) -> tuple[int, ...]:
    """Ollama's version as numbers; empty where it does not tell."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.findall(rb"(\d+)\.(\d+)\.\d+", said.stdout + said.stderr)
    return tuple(map(int, found[-1])) if found else ()


def create(program: str, name: str, text: str, path: Path | None = None) -> None:
    """Make a model in Ollama, which prints its progress.

    Args:
        program: the path of `ollama`.
        name: of the model.
        text: of the Modelfile.
        path: of the Modelfile; None writes a temporary one.

    Raises:
        ModelError: Ollama cannot be run, or failed.
    """
    with TemporaryDirectory(prefix="relay-gguf-") as folder:
        if path is None:
            path = Path(folder) / "Modelfile"
            path.write_text(text, "utf-8")
        try:
            done = subprocess.run([program, "create", name, "-f", str(path)], check=False)
        except OSError as error:
            raise ModelError(f"Cannot run {program}: {error.strerror}.") from error
    if done.returncode:
        raise ModelError(f"`ollama create {name}` failed ({done.returncode}); see above why.")


def check_name(name: str) -> str:
    """A name for a model in Ollama.

    Raises:
        SettingsError: it is none.
    """
    pattern = r"(\w[\w.-]*(:\d+)?/)?(\w[\w-]*/)?\w[\w.-]{0,79}(:\w[\w.-]{0,79})?"
    if not re.fullmatch(pattern, name, re.ASCII):
        raise SettingsError(f"--name is {name!r}; it should be like relay or relay:q4_k_m.")
    return name


def default_name(file: Path) -> str:
    """`relay-v0.1-mistral-nemo-12b-2407:q4_k_m` for a file of that name."""
    said = parse_name(file.name)
    model = re.sub(r"[^a-z0-9_.-]+", "-", said.model.lower()).strip("-.")[:80]
    return f"{model or 'relay'}{':' * bool(said.ftype)}{said.ftype.lower()}"


def _sampling(metadata: Metadata) -> dict[str, str]:
    """Ollama's options, from the file's metadata where they are usable there."""
    options = {}
    for option, (key, default) in _SAMPLING.items():
        said = metadata.get(f"general.sampling.{key}")
        number = said.value if said is not None else default
        usable = isinstance(number, (int, float)) and math.isfinite(number) and number >= 0
        number = number if usable else default
        # The file has them in 32 bits, in which 0.3 is 0.30000001.
        options[option] = str(int(number)) if isinstance(default, int) else f"{number:.7g}"
    return options


def _n_ctx(metadata: Metadata) -> int:
    """The context to take: Relay's, or the model's if that is less."""
    arch = metadata.get("general.architecture")
    length = metadata.get(f"{arch.value}.context_length") if arch else None
    known = length is not None and isinstance(length.value, int) and length.value > 0
    return min(DEFAULT_N_CTX, length.value) if known and length else DEFAULT_N_CTX


def _ends_turns(metadata: Metadata) -> bool:
    """Whether the model's own end token ends a turn, so that no text has to be looked for."""
    tokens = metadata.get("tokenizer.ggml.tokens")
    texts = tokens.value if tokens is not None and isinstance(tokens.value, list) else []
    said = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
    ids = [value.value for value in said if value is not None and isinstance(value.value, int)]
    return any(0 <= token < len(texts) and texts[token] == _END for token in ids)


def _quoted(path: Path) -> str:
    """A path as a shell takes it, on one line."""
    return shlex.quote(str(path).replace("\n", "?"))
