"""What a comparison found: sentences for people, which add up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Findings:
    """Sentences: what differs, what could not be judged, and what a reader should know."""

    problems: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            self.problems + other.problems,
            self.unjudged + other.unjudged,
            self.notes + other.notes,
        )
