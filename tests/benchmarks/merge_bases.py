"""What a QLoRA adapter loses by the base that it is merged into, and by quantizing: one table.

    python tests/benchmarks/merge_bases.py [--folder DIR] [--blocks N]

The demo's adapter was trained on its base's round trip through NF4. It is merged by our converter
into the original weights and into that round trip, and written in three types. Each file then reads
conversations that training did not see (golden/roleplay/chats.jsonl), in blocks of 256 tokens; a
cell is the mean cross-entropy of the 255 predictions of each block, in nats a token. Lower is
better. The files are made in a folder that is removed, unless it is given; there they are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from relay_gguf.convert.job import prepare
from relay_gguf.convert.read.merge import MERGE_BASES, MergeBase
from relay_gguf.convert.request import Request
from relay_gguf.convert.run import ConvertedFiles, run
from relay_gguf.llama.log import LogLines
from relay_gguf.llama.tokenizer import tokenize
from relay_gguf.models.demo import ADAPTER, demo_model

CHATS = Path(__file__).parents[1] / "golden" / "roleplay" / "chats.jsonl"
TYPES = ("F16", "Q8_0", "Q4_K_M")
BLOCK = 256


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="of the files; default: a temporary one")
    parser.add_argument("--blocks", type=int, default=24, help=f"of {BLOCK} tokens")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        rows = [("the base alone, Q4_1", [loss(demo_model(), arguments.blocks)])]
        for merge_base in MERGE_BASES:
            files = merged(folder / merge_base, merge_base)
            rows.append((f"merged into {merge_base}", [loss(f, arguments.blocks) for f in files]))
    for line in table(rows):
        print(line)


def merged(folder: Path, merge_base: MergeBase) -> list[Path]:
    """The demo's base and adapter, merged, in each type; those that are there stay."""
    files = [folder / f"{ADAPTER.name}-{ftype}.gguf" for ftype in TYPES]
    if not all(file.exists() for file in files):
        request = Request(
            base=str(demo_model()),
            ftypes=TYPES,
            adapter=str(ADAPTER),
            merge_base=merge_base,
            allow_requantize=True,
        )
        for event in run(prepare(request), folder, force=True, restart=True):
            if isinstance(event, ConvertedFiles):
                print(event.paths[0], file=sys.stderr)
    return files


def loss(path: Path, n_blocks: int) -> float:
    """The mean cross-entropy of a file on the conversations, in nats a token."""
    began = time.monotonic()
    params = lib.llama_model_default_params()
    params.n_gpu_layers = 0
    with LogLines():
        lib.llama_backend_init()
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        settings = lib.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = BLOCK
        settings.n_threads = settings.n_threads_batch = os.cpu_count() or 1
        context = lib.llama_init_from_model(model, settings)
    vocab = lib.llama_model_get_vocab(model)
    ids = [i for text in conversations() for i in tokenize(vocab, text, parse_special=True)]
    blocks = [ids[at : at + BLOCK] for at in range(0, len(ids) - BLOCK + 1, BLOCK)][:n_blocks]
    n_vocab = lib.llama_vocab_n_tokens(vocab)
    losses = [block_loss(context, block, n_vocab) for block in blocks]
    lib.llama_free(context)
    lib.llama_model_free(model)
    print(f"{path.name}: {len(blocks)} blocks, {time.monotonic() - began:.0f} s", file=sys.stderr)
    return float(np.mean(losses))


def conversations() -> Iterator[str]:
    """In ChatML, as Relay was trained on it."""
    for line in CHATS.read_text("utf-8").splitlines():
        messages = json.loads(line)["messages"]
        yield "".join(
            f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"
            for message in messages
        )


def block_loss(context: object, block: Sequence[int], n_vocab: int) -> float:
    """The mean cross-entropy of a block's tokens but the first."""
    lib.llama_memory_clear(lib.llama_get_memory(context), True)
    batch = lib.llama_batch_init(len(block), 0, 1)
    batch.n_tokens = len(block)
    for index, token in enumerate(block):
        batch.token[index], batch.pos[index] = token, index
        batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
        batch.logits[index] = True
    if lib.llama_decode(context, batch):
        raise SystemExit("llama.cpp could not evaluate a block.")
    total = 0.0
    for index, token in enumerate(block[1:]):
        row = lib.llama_get_logits_ith(context, index)
        logits: NDArray[np.float32] = np.ctypeslib.as_array(row, (n_vocab,)).astype(np.float64)
        total += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[token]
    lib.llama_batch_free(batch)
    return total / (len(block) - 1)


def table(rows: Sequence[tuple[str, Sequence[float]]]) -> Iterator[str]:
    """In Markdown; the base has one figure, which is that of its file as it is (Q4_1)."""
    yield f"| weights | {' | '.join(TYPES)} |"
    yield f"|---|{'---:|' * len(TYPES)}"
    for name, values in rows:
        figures = [f"{value:.3f}" for value in values]
        yield f"| {' | '.join([name, *figures, *[''] * (len(TYPES) - len(figures))])} |"


if __name__ == "__main__":
    main()
