"""What cron makes of an entry: whether it runs at all, and how far apart (cron(8), crontab(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

_ENTRY = re.compile(
    r"^\s*(?P<when>@\w+|\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(?P<user>[a-z_][\w-]*)\s+(?P<what>.+)$"
)
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SOME_YEARS: Final = [date(2024, 1, 1) + timedelta(days=day) for day in range(4 * 366)]
"""Long enough to hold every month, weekday and leap day."""


@dataclass(frozen=True)
class Entry:
    """One line of a file in /etc/cron.d."""

    when: str
    user: str
    command: str


def parse(line: str) -> Entry | None:
    """The entry that a line is; None if it is none."""
    match = _ENTRY.match(line)
    return Entry(match["when"], match["user"], match["what"]) if match else None


def problems(path: Path, text: str) -> Iterator[str]:
    """Why cron would pass over a file of /etc/cron.d or run something else than what it says."""
    status = path.stat()
    if not re.fullmatch(r"[A-Za-z0-9_-]+", path.name):
        yield "cron passes over files with a dot in their name: rename it."
    if status.st_uid != 0 or status.st_mode & 0o022:
        yield "cron passes over files that others than root may change: chown root, chmod 644."
    if not text.endswith("\n"):
        yield "the last line has no line break, so cron passes over the file: add one."
    entries = [found for line in text.splitlines() if (found := parse(line))]
    if any(re.search(r"(?<!\\)%", found.command) for found in entries):
        yield "a % ends the command unless it is written \\%."
    if not re.search(r"^PATH=", text, re.M):
        yield "PATH is not set, so cron finds programs in /usr/bin and /bin only: set it."


def interval(when: str) -> timedelta:
    """The longest time between two runs; ValueError if cron cannot run such an entry on time."""
    fields = _NICKNAMES.get(when, when).split()
    if len(fields) != 5:
        raise ValueError(f"{when!r} is no time")
    times = [
        60 * hour + minute
        for hour in sorted(_values(fields[1], 0, 23))
        for minute in sorted(_values(fields[0], 0, 59))
    ]
    days = [day for day in _SOME_YEARS if _on(day, *fields[2:])]
    if not days:
        raise ValueError(f"{when!r} is never")
    between = [later - earlier for earlier, later in pairwise(times)]
    overnight = [
        (later - earlier).days * 1440 + times[0] - times[-1] for earlier, later in pairwise(days)
    ]
    return timedelta(minutes=max(between + overnight))


def following(when: str, now: datetime) -> datetime | None:
    """When an entry runs next, by this machine's time zone as cron's own; None if never.

    ValueError if it is no entry.
    """
    fields = _NICKNAMES.get(when, when).split()
    if len(fields) != 5:
        raise ValueError(f"{when!r} is no time")
    hours, minutes = sorted(_values(fields[1], 0, 23)), sorted(_values(fields[0], 0, 59))
    today = now.astimezone().date()
    for day in (today + timedelta(days=ahead) for ahead in range(8 * 366)):
        if _on(day, *fields[2:]):
            times = (datetime.combine(day, time(hour, m)) for hour in hours for m in minutes)
            # Without a time zone, datetime means this machine's.
            for moment in (local.astimezone(UTC) for local in times):
                if moment > now:
                    return moment
    return None


def _on(day: date, days: str, months: str, weekdays: str) -> bool:
    """Whether an entry runs on a day; days and weekdays add up if neither begins with a star."""
    if day.month not in _values(months, 1, 12, _MONTHS, first_name=1):
        return False
    by_day = day.day in _values(days, 1, 31)
    by_weekday = day.isoweekday() % 7 in {n % 7 for n in _values(weekdays, 0, 7, _DAYS)}
    restricted = not days.startswith("*") and not weekdays.startswith("*")
    return by_day or by_weekday if restricted else by_day and by_weekday


def _values(
    field: str, low: int, high: int, names: tuple[str, ...] = (), first_name: int = 0
) -> set[int]:
    """The numbers that a field stands for; ValueError for what is none."""
    found: set[int] = set()
    for part in field.lower().split(","):
        span, slash, step = part.partition("/")
        first, dash, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        ends = [
            names.index(end) + first_name if end in names else int(end)
            for end in ([first, last] if dash else [first])
        ]
        final = ends[-1] if dash or not slash else high
        if not low <= ends[0] <= final <= high:
            raise ValueError(f"{part!r} is not within {low} and {high}")
        found |= set(range(ends[0], final + 1, int(step) if slash else 1))
    return found
