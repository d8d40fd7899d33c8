"""The answer to a command that a client has labelled (IRCv3 labeled-response)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from relay_gguf.irc.protocol.line import Line


def labelled(
    lines: Sequence[Line], label: str, *, server: str, ref: str, batches: bool
) -> Iterator[Line]:
    """The lines of an answer with a label: an ACK for none, a batch called `ref` for several.

    Lines that are a batch already keep that one.

    Args:
        lines: the answer.
        label: that the client gave.
        server: the name of the server.
        ref: an id that no other batch has.
        batches: whether the client understands batches; if not, the first line has the label.
    """
    if not lines:
        yield Line("ACK", (), server, {"label": label})
        return
    if len(lines) == 1 or not batches or _is_batch(lines):
        first, *rest = lines
        yield replace(first, tags={**first.tags, "label": label})
        yield from rest
        return
    yield Line("BATCH", (f"+{ref}", "labeled-response"), server, {"label": label})
    for line in lines:
        yield line if "batch" in line.tags else replace(line, tags={"batch": ref, **line.tags})
    yield Line("BATCH", (f"-{ref}",), server)


def _is_batch(lines: Sequence[Line]) -> bool:
    """Whether lines are one batch from the first to the last."""
    first, last = lines[0], lines[-1]
    ends = first.verb == last.verb == "BATCH" and first.params[0].startswith("+")
    return ends and last.params[0][1:] == first.params[0][1:]
