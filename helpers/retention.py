"""Which backups to keep, and why: a function from what there is to what shall be (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from .errors import ConfigError
from .settings import Keep


@dataclass(frozen=True)
class Candidate:
    """A backup as retention sees it; `time` is aware, `suspect` means not accepted either."""

    name: str
    time: datetime
    verified: bool
    suspect: bool

    @property
    def trusted(self) -> bool:
        """Whether rules count it and may delete it."""
        return self.verified and not self.suspect


@dataclass(frozen=True)
class Decision:
    """What shall become of a backup, and every reason for it."""

    name: str
    keep: bool
    reasons: tuple[str, ...]


def plan(candidates: Iterable[Candidate], keep: Keep) -> tuple[Decision, ...]:
    """A decision for each candidate, newest first; those of one time are ordered by name.

    A backup stays if any rule wants it. Only verified ones that are not suspect are counted or
    deleted, and the newest of them always stays. While the newest verified one is suspect, all
    older ones stay: it may be what is left after a loss. ConfigError if every rule is 0.
    """
    if not any((keep.last, keep.daily, keep.weekly, keep.monthly, keep.yearly)):
        raise ConfigError("Every KEEP_ rule is 0.", "Set at least one of them to 1 or more.")
    ordered = sorted(candidates, key=lambda c: (c.time, c.name), reverse=True)
    trusted = [candidate for candidate in ordered if candidate.trusted]
    reasons = _reasons(trusted, keep)
    # A suspect one that has rotted since is no reason to go on deleting what came before it.
    newest = next((c for c in ordered if c.verified or c.suspect), None)
    held = newest is not None and newest.suspect
    return tuple(_decide(candidate, reasons.get(candidate, []), held) for candidate in ordered)


def _decide(candidate: Candidate, wanted: Sequence[str], held: bool) -> Decision:
    if not candidate.verified:
        return Decision(candidate.name, True, ("not verified: never counted, never deleted",))
    if candidate.suspect:
        return Decision(candidate.name, True, ("suspect: waits for accept or for your decision",))
    if wanted:
        return Decision(candidate.name, True, tuple(wanted))
    if held:
        return Decision(candidate.name, True, ("older than a suspect backup",))
    return Decision(candidate.name, False, ("no rule keeps it",))


def _reasons(trusted: Sequence[Candidate], keep: Keep) -> dict[Candidate, list[str]]:
    """Why each of the trusted candidates, given newest first, is wanted."""
    reasons: defaultdict[Candidate, list[str]] = defaultdict(list)
    for candidate in trusted[:1]:
        reasons[candidate].append("newest verified")
    for place, candidate in enumerate(trusted[: keep.last], start=1):
        reasons[candidate].append(f"last {place} of {keep.last}")
    rules: tuple[tuple[str, int, Callable[[datetime], str]], ...] = (
        ("daily", keep.daily, lambda time: time.date().isoformat()),
        ("weekly", keep.weekly, _iso_week),
        ("monthly", keep.monthly, lambda time: time.date().isoformat()[:7]),
        ("yearly", keep.yearly, lambda time: time.date().isoformat()[:4]),
    )
    for rule, count, period_of in rules:
        newest_of: dict[str, Candidate] = {}
        for candidate in trusted:
            newest_of.setdefault(period_of(candidate.time.astimezone(UTC)), candidate)
        for period, candidate in list(newest_of.items())[:count]:
            reasons[candidate].append(f"{rule} {period}")
    return reasons


def _iso_week(time: datetime) -> str:
    year, week, _ = time.isocalendar()
    return f"{year:04}-W{week:02}"
