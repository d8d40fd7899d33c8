"""Counts for Prometheus, in its text format."""

from __future__ import annotations

from collections import Counter

from .choice import Ended

HELP = {
    "relay_requests_total": "Requests that were answered, by path and status.",
    "relay_prompt_tokens_total": "Tokens of prompts.",
    "relay_cached_tokens_total": "Tokens of prompts that were in the cache.",
    "relay_generated_tokens_total": "Tokens that the model drew.",
    "relay_replies_in_progress": "Replies that are being written or wait for a slot.",
}


class Metrics:
    """What the server has done so far. For its event loop only."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.in_progress = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._prompt = self._cached = self._generated = 0

    def answered(self, path: str, status: int) -> None:
        """Count a request; `path` is one of the server's own."""
        self._requests[path, status] += 1

    def ended(self, end: Ended) -> None:
        """Count a reply."""
        self._prompt += end.n_prompt
        self._cached += end.n_cached
        self._generated += end.n_drawn

    def text(self) -> str:
        """All of it, a metric a paragraph."""
        rows = {
            "relay_requests_total": [
                (f'{{path="{path}",status="{status}"}}', count)
                for (path, status), count in sorted(self._requests.items())
            ],
            "relay_prompt_tokens_total": [("", self._prompt)],
            "relay_cached_tokens_total": [("", self._cached)],
            "relay_generated_tokens_total": [("", self._generated)],
            "relay_replies_in_progress": [("", self.in_progress)],
        }
        lines = []
        for name, told in HELP.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{labels} {value}" for labels, value in rows[name]]
        return "\n".join(lines) + "\n"
