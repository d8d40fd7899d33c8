"""Whatever is in a file, reading it ends well."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from dataset.chats import told
from dataset.client_logs import LINES, LOGS
from hypothesis import given
from hypothesis import strategies as st

from relay_gguf.dataset.build import Options
from relay_gguf.dataset.drafts import ConversationLimits
from relay_gguf.dataset.logs.formats import READERS
from relay_gguf.dataset.masks import Masks
from relay_gguf.dataset.tally import Tally
from relay_gguf.dataset.turns import TurnStyle

WHOLE = [line for log in LOGS.values() for line in log.splitlines()]
WHOLE += [text for cases in LINES.values() for text, _ in cases]
lines = st.lists(
    st.one_of(st.binary(max_size=80), st.sampled_from(WHOLE).map(str.encode)), max_size=40
)


@given(data=st.one_of(st.binary(max_size=400), lines.map(b"\n".join)), seed=st.integers(0, 3))
def test_any_bytes_are_read_without_harm(data: bytes, seed: int) -> None:
    tally = Tally()
    name = [None, *READERS][seed]
    options = Options(
        ["ann*", "b?b"],
        name,
        limits=ConversationLimits(max_messages=16, max_tokens=256, join_lines=5),
        style=TurnStyle(prefix_nicks=seed == 1, masks=Masks(seed) if seed else None),
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "#c.log"
        file.write_bytes(data)
        found = told([file], options, tally)
    assert tally.unknown <= tally.lines <= data.count(b"\n") + 1
    for text in found:
        assert "<|" not in text
        assert text.count("\nuser: ") >= 1
    list(tally.table(exact=False))


@given(cut=st.integers(0, 4000), noise=st.binary(max_size=6))
def test_noise_in_a_log_does_no_harm(cut: int, noise: bytes) -> None:
    data = "".join(LOGS.values()).encode()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "#c.log"
        file.write_bytes(data[:cut] + noise + data[cut:])
        told([file], Options(["ann"]))
