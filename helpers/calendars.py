"""The days on which backups were taken, month by month, with the gaps between them (pure)."""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

Kind = Literal["good", "suspect", "bad", "missing", "none", "future"]
WORDS: Final[dict[Kind, str]] = {
    "good": "good backup",
    "suspect": "only suspect backups",
    "bad": "only damaged or unverified backups",
    "missing": "no backup when one was due",
    "none": "none kept",
    "future": "",
}
_DAILY: Final = timedelta(hours=36)
"""A target up to which there should be a backup each day."""

MONTHS: Final = 12
"""Months that are shown at most, the last ones."""


@dataclass(frozen=True)
class Taken:
    """A backup as a calendar sees it."""

    time: datetime
    kind: Kind


@dataclass(frozen=True)
class Day:
    """A day and what there is of it; `label` says so in words."""

    number: int
    kind: Kind
    label: str


@dataclass(frozen=True)
class Month:
    """A month in weeks of seven days from Monday on; None is a day of another month."""

    title: str
    weeks: tuple[tuple[Day | None, ...], ...]


def months(
    taken: Sequence[Taken], now: datetime, max_age: timedelta, daily: int
) -> tuple[Month, ...]:
    """The months from now back to the first backup, in UTC, twelve at most.

    A day is missing where one was due (every day, or by `max_age` where that is longer) and none
    is good, as far back as retention keeps one of each of `daily` days: it deletes older ones.
    """
    if not taken:
        return ()
    today = now.astimezone(UTC).date()
    by_day: dict[date, list[Kind]] = {}
    for one in taken:
        by_day.setdefault(one.time.astimezone(UTC).date(), []).append(one.kind)
    missing = _missing([one.time for one in taken if one.kind == "good"], now, max_age, daily)
    first = min(by_day)
    back = min((today.year - first.year) * 12 + today.month - first.month, MONTHS - 1)
    found = []
    for ago in range(max(back, 0) + 1):
        year, month = divmod(today.year * 12 + today.month - 1 - ago, 12)
        weeks = calendar.Calendar().monthdatescalendar(year, month + 1)
        days = [
            tuple(
                _day(day, by_day.get(day, ()), today, missing) if day.month == month + 1 else None
                for day in week
            )
            for week in weeks
        ]
        found.append(Month(f"{calendar.month_name[month + 1]} {year}", tuple(days)))
    return tuple(found)


def _day(day: date, kinds: Sequence[Kind], today: date, missing: Iterable[date]) -> Day:
    order: tuple[Kind, ...] = ("good", "suspect", "bad")
    kind: Kind = next((one for one in order if one in kinds), "none")
    if kind == "none":
        kind = "future" if day > today else "missing" if day in missing else "none"
    said = f"{kinds.count('good')} good backups" if kinds.count("good") > 1 else WORDS[kind]
    return Day(day.day, kind, said)


def _missing(
    good: Sequence[datetime], now: datetime, max_age: timedelta, daily: int
) -> frozenset[date]:
    """The days without a good backup at whose end, or now, there should have been a younger one."""
    if not good:
        return frozenset()
    ordered, today, found = sorted(good), now.astimezone(UTC).date(), set()
    for ago in range(max(daily, 7)):
        day = today - timedelta(days=ago)
        end = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
        moment = min(end, now)
        before = bisect_right(ordered, moment)
        due = max_age if moment == now or max_age > _DAILY else timedelta(days=1)
        if before and moment - ordered[before - 1] > due:
            found.add(day)
    return frozenset(found)
