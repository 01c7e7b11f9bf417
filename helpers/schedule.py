"""What starts an environment's backups on this machine: a cron entry or a timer, and when next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from . import crontab, processes

CRON_DIR = Path("/etc/cron.d")
UNIT_DIR = Path("/etc/systemd/system")


@dataclass(frozen=True)
class Schedule:
    """What starts the backups, by which rule, as which user, and how far apart at most."""

    file: Path
    when: str
    user: str
    timer: bool
    interval: timedelta

    def following(self, now: datetime) -> datetime | None:
        """When the next one starts; None where that cannot be told."""
        if self.timer:
            return next((time for time in _timer_times(self.when) if time > now), None)
        return crontab.following(self.when, now)


def find(environment: str) -> tuple[Schedule | None, list[str]]:
    """The schedule of an environment, and what speaks against it; neither if there is none."""
    unit = UNIT_DIR / f"pgbackup-{environment}.timer"
    if unit.exists():
        return _timer(unit), []
    files = sorted(CRON_DIR.glob("*")) if CRON_DIR.is_dir() else []
    path = next((path for path in files if _mentions(path, environment)), None)
    return _cron(path, environment) if path else (None, [])


def _mentions(path: Path, environment: str) -> bool:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return False
    return any(_is_of(line, environment) for line in text.splitlines())


def _is_of(line: str, environment: str) -> bool:
    words = line.split()
    if words[-2:] == [environment, "drill"]:
        return False
    return not line.lstrip().startswith("#") and "pgbackup" in line and environment in words


def _cron(path: Path, environment: str) -> tuple[Schedule | None, list[str]]:
    text = path.read_text(errors="replace")
    line = next(line for line in text.splitlines() if _is_of(line, environment))
    entry = crontab.parse(line)
    try:
        apart = crontab.interval(entry.when) if entry else None
    except ValueError:
        apart = None
    if not entry or not apart:
        return None, [f"{path}: {line!r} is no entry of a crontab."]
    problems = [f"{path}: {problem}" for problem in crontab.problems(path, text)]
    return Schedule(path, entry.when, entry.user, False, apart), problems


def _timer(unit: Path) -> Schedule:
    match = re.search(r"^OnCalendar=(.+)$", unit.read_text(), re.M)
    when = match[1] if match else "daily"
    between = [later - earlier for earlier, later in pairwise(_timer_times(when))]
    interval = max(between, default=timedelta(days=1))
    return Schedule(unit, when, _unit_user(unit.with_suffix(".service")), True, interval)


def _unit_user(path: Path) -> str:
    match = re.search(r"^User=(\S+)", path.read_text(), re.M) if path.exists() else None
    return match[1] if match else "root"


def _timer_times(when: str) -> list[datetime]:
    """The next times of a calendar event (systemd.time(7)); none where systemd is not there."""
    try:
        done = processes.run(["systemd-analyze", "calendar", "--iterations=15", when])
    except OSError:
        return []
    times = re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", done.output)
    return sorted({datetime.fromisoformat(time).replace(tzinfo=UTC) for time in times})
