"""What converting straight from a hub costs beside converting a folder on this disk: one table.

    python tests/benchmarks/hub/from_hub.py BASE-FOLDER ADAPTER-FOLDER [--quant TYPE]...
        [--merge-base WHICH] [--rate BYTES-A-SECOND] [--rounds N] [--markdown]

The hub is a process on loopback (`served_folder.py`), whose connections have the rate together,
1 GB/s. Rounds alternate, since the machine may be busy; ratios are the medians of the rounds'. The
files must be the same, and what the hub sent of the weights is shown beside what they have.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from costs import HEAD, Cost, cells, ratios, show
from measures import command_line, homeless
from watched_step import Step, watch

SERVER = Path(__file__).with_name("served_folder.py")


@contextmanager
def served(folder: Path, rate: float) -> Iterator[tuple[str, list[int]]]:
    """The address of a hub; at the end the bytes of weights that it sent are in the list."""
    sent: list[int] = []
    command = [sys.executable, str(SERVER), str(folder), "--rate", str(rate)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().strip(), sent
        finally:
            server.terminate()
            sent.append(int(server.communicate()[1].split()[-1]))


def measure(base: str, work: Path, options: Sequence[str], **env: str) -> tuple[Cost, list[bytes]]:
    """A conversion's cost, and the last bytes of its files, which differ where they do."""
    out = work / "out"
    command = [*command_line(), "convert", base, *options, "--out", str(out), "--json"]
    with homeless() as home:
        cost, _ = watch(Step("convert", command, out), work, home | env)
    return cost, [tail(path) for path in sorted(out.glob("*.gguf"))]


def tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1_000_000, 2)
        return file.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--quant", action="append")
    parser.add_argument("--merge-base", default="original")
    parser.add_argument("--rate", type=float, default=1e9)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--markdown", action="store_true")
    asked = parser.parse_args()
    options = ["--adapter", str(asked.adapter), "--merge-base", asked.merge_base]
    options += [word for ftype in asked.quant or ["Q8_0", "Q4_K_M"] for word in ("-q", ftype)]
    local, hub, sent = list[Cost](), list[Cost](), list[int]()
    for _ in range(asked.rounds):
        with tempfile.TemporaryDirectory() as work:
            cost, files = measure(str(asked.base), Path(work), options)
            local.append(cost)
        with tempfile.TemporaryDirectory() as work, served(asked.base, asked.rate) as (at, n_bytes):
            cost, same = measure(
                "o/base", Path(work), options, HF_ENDPOINT=at, HF_HUB_DISABLE_XET="1"
            )
            hub.append(cost)
        assert files == same
        sent += n_bytes
    weights = sum(path.stat().st_size for path in asked.base.glob("*.safetensors"))
    lines = [
        HEAD,
        ["folder", *cells(local)],
        ["hub", *cells(hub)],
        ["hub / folder", *ratios(hub, local)],
    ]
    show(lines, markdown=asked.markdown)
    print(f"\nThe hub sent {max(sent):,} bytes, {max(sent) / weights:.4f} of the files.")


if __name__ == "__main__":
    main()
