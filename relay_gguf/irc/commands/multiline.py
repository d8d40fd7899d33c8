"""BATCH: messages of several lines that a client sends (IRCv3 draft/multiline)."""

from __future__ import annotations

from relay_gguf.irc.network.client import Client
from relay_gguf.irc.network.delivery import deliver
from relay_gguf.irc.network.message import Batch, Fragment
from relay_gguf.irc.network.network import Network
from relay_gguf.irc.protocol.line import Line
from relay_gguf.irc.protocol.names import fold

_TYPE = "draft/multiline"
_CONCAT = "draft/multiline-concat"
_MOST_OPEN = 4


async def batch(network: Network, client: Client, line: Line) -> None:
    """BATCH +ref draft/multiline target, or BATCH -ref."""
    sign, ref = line.params[0][:1], line.params[0][1:]
    if sign == "+" and line.params[1:2] == (_TYPE,) and len(line.params) > 2:
        if len(client.batches) >= _MOST_OPEN:
            client.fail("BATCH", "MULTILINE_INVALID", "Too many open batches")
            return
        client.batches[ref] = Batch(
            line.params[2], client_only_tags(line), label=client.take_label()
        )
    elif sign == "-" and ref in client.batches:
        done = client.batches.pop(ref)
        if done is None:
            return
        if done.label:
            client.take_label()  # one answer for one message
        with client.answering(done.label, network.new_id()):
            _send(network, client, done)
    else:
        client.fail("BATCH", "MULTILINE_INVALID", "Invalid batch")


def _send(network: Network, client: Client, done: Batch) -> None:
    if not any(fragment.text.strip(" ") for fragment in done.fragments):
        client.fail("BATCH", "MULTILINE_INVALID", "Nothing but blank lines")
        return
    fragments = tuple(done.fragments)
    deliver(network, client, "PRIVMSG", done.target, fragments=fragments, own_tags=done.tags)


def collect(network: Network, client: Client, line: Line) -> None:
    """Add a PRIVMSG to the batch that its tag names.

    After an error, the rest of the batch is taken without an answer: one answer for one message.
    """
    ref, limits = line.tags["batch"], network.limits
    if ref not in client.batches:
        if any(client.batches.values()):
            client.batches = dict.fromkeys(client.batches)
        client.fail("BATCH", "MULTILINE_INVALID", "There is no such batch")
        return
    into = client.batches[ref]
    if into is None:
        return
    target, text = line.params[0], line.params[1]
    joins = _CONCAT in line.tags
    into.size += len(text.encode()) + (0 if joins or not into.fragments else 1)
    into.fragments.append(Fragment(text, joins and bool(into.fragments)))
    problem: tuple[str, ...] = ()
    if fold(target) != fold(into.target):
        problem = ("MULTILINE_INVALID_TARGET", into.target, target, "Another target")
    elif line.verb.upper() != "PRIVMSG":
        problem = ("MULTILINE_INVALID", "Only PRIVMSG can have several lines")
    elif joins and not text:
        problem = ("MULTILINE_INVALID", "A blank line continues nothing")
    elif into.size > limits.batch_bytes:
        problem = ("MULTILINE_MAX_BYTES", str(limits.batch_bytes), "Too many bytes")
    elif len(into.fragments) > limits.batch_lines:
        problem = ("MULTILINE_MAX_LINES", str(limits.batch_lines), "Too many lines")
    if problem:
        client.batches[ref] = None
        client.fail("BATCH", *problem)


def client_only_tags(line: Line) -> dict[str, str]:
    """The tags that are passed on to others: `+...` (message-tags, Client-only tags)."""
    return {name: value for name, value in line.tags.items() if name.startswith("+")}
