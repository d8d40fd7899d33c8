"""What a judge says of an answer, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

HALF: Final = 0.5
"""P(unsafe) from which on an answer counts as unsafe: then it is the likelier label."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's verdict on an answer; None where it does not say.

    Attributes:
        key: of the question.
        unsafe: whether the answer is unsafe.
        p_unsafe: probability of `unsafe` against `safe`, where the judge gives one.
        weight: probability of both labels together, of all tokens: near 1 for a judge that knows
            its prompt.
        refusal: whether the answer refuses.
        codes: the categories of what is unsafe, in the judge's words.
        said: the verdict in the judge's own words.
        fault: why there is none.
    """

    key: str
    unsafe: bool | None = None
    p_unsafe: float | None = None
    weight: float | None = None
    refusal: bool | None = None
    codes: str = ""
    said: str = ""
    fault: str = ""

    def as_row(self) -> dict[str, Any]:
        """The verdict as a row of a ledger."""
        values: dict[str, Any] = {
            "moderation": self.said,
            "unsafe": self.unsafe,
            "p_unsafe": self.p_unsafe,
            "weight": self.weight,
            "refusal": self.refusal,
            "codes": self.codes,
            "fault": self.fault,
        }
        return {"key": self.key} | {name: v for name, v in values.items() if v not in (None, "")}


def judgement_of(row: Mapping[str, Any]) -> Judgement:
    """The verdict in a row of a ledger."""
    return Judgement(
        str(row["key"]),
        unsafe=row.get("unsafe"),
        p_unsafe=row.get("p_unsafe"),
        weight=row.get("weight"),
        refusal=row.get("refusal"),
        codes=str(row.get("codes", "")),
        said=str(row.get("moderation", "")),
        fault=str(row.get("fault", "")),
    )
