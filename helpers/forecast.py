"""How a store grows, and when its disk will be full if it goes on like this (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import linear_regression, median
from typing import Final

from . import retention
from .retention import Candidate
from .settings import Keep

HORIZON: Final = timedelta(days=365)
"""What lies beyond it is not told: nobody can know."""

_RECENT: Final = 30
"""Newest backups whose sizes and distances are the trend."""

_STEPS: Final = 200
_CROWD: Final = 150
"""Backups up to which retention is played through; more of them are only added up."""


@dataclass(frozen=True)
class Trend:
    """A backup's growth in bytes per day, by a straight line, and how far apart backups are."""

    growth: float
    interval: timedelta
    size: float


def trend(sizes: Mapping[datetime, int]) -> Trend | None:
    """The trend of the newest backups; None of less than three, or of less than a day."""
    times = sorted(sizes)[-_RECENT:]
    if len(times) < 3 or times[-1] - times[0] < timedelta(days=1):
        return None
    days = [(time - times[0]) / timedelta(days=1) for time in times]
    slope, _ = linear_regression(days, [sizes[time] for time in times])
    apart = median((later - earlier).total_seconds() for earlier, later in pairwise(times))
    return Trend(slope, timedelta(seconds=max(apart, 60)), sizes[times[-1]])


def full_in(
    found: Sequence[tuple[Candidate, int]], trend: Trend, free: int, keep: Keep | None
) -> timedelta | None:
    """How long until the disk is full; None if not within a year.

    `found` are the backups and their bytes; `keep` is None where nobody prunes. Each step takes
    the backups of its time, as large as the trend says, and retention deletes what it would.
    """
    step = max(trend.interval, HORIZON / _STEPS)
    pruned = keep if len(found) <= _CROWD else None
    at_once = 1 if pruned else step / trend.interval
    sizes: dict[Candidate, float] = dict(found)
    room = sum(sizes.values()) + free
    newest = max(candidate.time for candidate in sizes)
    taken, used = step, sum(sizes.values())
    while taken <= HORIZON:
        size = max(trend.size + trend.growth * (taken / timedelta(days=1)), 0) * at_once
        if used + size > room:
            return taken
        used += size
        if pruned:
            sizes[Candidate(f"after {taken}", newest + taken, verified=True, suspect=False)] = size
            kept = {d.name for d in retention.plan(sizes, pruned) if d.keep}
            sizes = {one: size for one, size in sizes.items() if one.name in kept}
            used = sum(sizes.values())
        taken += step
    return None
