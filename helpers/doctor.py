"""Whether the next scheduled backup would work, and whether the last one did."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal

from . import crontab, listing, processes
from . import settings as configuration
from .errors import BackupError
from .store import Store

Level = Literal["OK", "WARNING", "FAILED"]
CRON_DIR = Path("/etc/cron.d")
UNIT_DIR = Path("/etc/systemd/system")
LATE = timedelta(hours=1)
"""How long after its time a backup may still be running before it counts as missed."""


@dataclass(frozen=True)
class Finding:
    """One line: how a check went, and what to do if it did not go well."""

    check: str
    level: Level
    said: str


@dataclass(frozen=True)
class Schedule:
    """What starts an environment's backups, as which user, and how far apart at most."""

    file: Path
    user: str
    timer: bool
    interval: timedelta


def examine(environment: str, root: Path, host_dir: Path) -> list[Finding]:
    """Every check of an environment, in the order of a run; checks never raise."""
    schedule, found = _schedule(environment)
    if schedule:
        found += [_daemon(schedule), _account(schedule.user)]
    found.append(_dry_run(environment, schedule.user if schedule else None))
    found.append(_last_backup(environment, root, host_dir, schedule))
    return found


def _schedule(environment: str) -> tuple[Schedule | None, list[Finding]]:
    unit = UNIT_DIR / f"pgbackup-{environment}.timer"
    if unit.exists():
        user = _unit_user(unit.with_suffix(".service"))
        interval = _timer_interval(unit)
        return Schedule(unit, user, True, interval), [Finding("schedule", "OK", f"{unit}")]
    candidates = (
        [path for path in sorted(CRON_DIR.glob("*")) if _mentions(path, environment)]
        if CRON_DIR.is_dir()
        else []
    )
    if not candidates:
        return None, [
            Finding("schedule", "FAILED", f"No timer or cron entry of {environment}: deploy it.")
        ]
    path = candidates[0]
    return _cron(path, environment)


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


def _cron(path: Path, environment: str) -> tuple[Schedule | None, list[Finding]]:
    text = path.read_text(errors="replace")
    line = next(line for line in text.splitlines() if _is_of(line, environment))
    entry = crontab.parse(line)
    try:
        apart = crontab.interval(entry.when) if entry else None
    except ValueError:
        apart = None
    if not entry or not apart:
        return None, [Finding("schedule", "FAILED", f"{path}: {line!r} is no entry of a crontab.")]
    problems = crontab.problems(path, text)
    found = [Finding("schedule", "FAILED", f"{path}: {problem}") for problem in problems]
    schedule = Schedule(path, entry.user, False, apart)
    return schedule, found or [Finding("schedule", "OK", f"{path}: {entry.when}")]


def _unit_user(path: Path) -> str:
    match = re.search(r"^User=(\S+)", path.read_text(), re.M) if path.exists() else None
    return match[1] if match else "root"


def _timer_interval(unit: Path) -> timedelta:
    match = re.search(r"^OnCalendar=(.+)$", unit.read_text(), re.M)
    done = _run("systemd-analyze", "calendar", "--iterations=15", match[1] if match else "daily")
    times = re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", done.output if done else "")
    stamps = sorted({datetime.fromisoformat(time).replace(tzinfo=UTC) for time in times})
    between = [later - earlier for earlier, later in pairwise(stamps)]
    return max(between, default=timedelta(days=1))


def _daemon(schedule: Schedule) -> Finding:
    unit = schedule.file.name if schedule.timer else "cron.service"
    done = _run("systemctl", "is-active", unit)
    if done is None or done.output.strip() in {"", "unknown"}:
        return Finding("scheduler", "WARNING", f"Nobody can tell whether {unit} runs.")
    if done.returncode:
        return Finding("scheduler", "FAILED", f"{unit} does not run: systemctl enable --now {unit}")
    return Finding("scheduler", "OK", f"{unit} runs")


def _account(user: str) -> Finding:
    """PAM refuses cron jobs of accounts that are expired, and where configured of locked ones."""
    if os.geteuid() != 0:
        return Finding("account", "WARNING", "Only root can see whether the user is locked.")
    done = _run("getent", "shadow", user)
    fields = done.output.strip().split(":") if done else []
    if len(fields) < 9:
        return Finding("account", "FAILED", f"There is no user {user}: deploy again.")
    if fields[1].startswith("!"):
        return Finding("account", "FAILED", f"{user} is locked: usermod --password '*' {user}")
    if fields[7] and int(fields[7]) <= datetime.now(UTC).timestamp() // 86400:
        return Finding("account", "FAILED", f"{user} has expired: usermod --expiredate '' {user}")
    return Finding("account", "OK", f"{user} may run jobs")


def _dry_run(environment: str, user: str | None) -> Finding:
    """All that a backup asks before it writes, as the job's own user, without our environment."""
    argv = [sys.executable, "-P", "-m", "helpers", "backup", "--env", environment, "--dry-run"]
    if os.geteuid() == 0 and user:
        argv = ["runuser", "-u", user, "--", *argv]
    here = os.environ.get("PYTHONPATH", str(Path(__file__).parents[1]))
    done = _run("env", "--chdir=/", f"PYTHONPATH={here}", *argv, "--json")
    if done is None:
        return Finding("next run", "FAILED", "It could not be tried.")
    try:
        answer = json.loads(done.output)
    except ValueError:
        return Finding("next run", "FAILED", done.errors or "It could not be tried.")
    if "error" in answer:
        said = f"{answer['error']['what']} {answer['error']['do']}"
        return Finding("next run", "FAILED", " ".join(said.split()))
    return Finding(
        "next run",
        "OK",
        f"env file, database, clients, space: a backup would go to {answer['store']}",
    )


def _last_backup(
    environment: str, root: Path, host_dir: Path, schedule: Schedule | None
) -> Finding:
    try:
        found = configuration.load(environment, root=root, environ={}, host_dir=host_dir)
        kept = listing.backups(Store(found.store), environment)
    except BackupError as error:
        return Finding("last backup", "FAILED", " ".join(str(error).split()))
    good = [backup for backup in kept if backup.verified and not backup.suspect]
    if not good:
        level: Level = "FAILED" if kept else "WARNING"
        return Finding("last backup", level, "No good backup yet: run pgbackup backup.")
    newest = max(backup.name.time for backup in good)
    age = datetime.now(UTC) - newest
    said = f"{newest:%Y-%m-%d %H:%M:%S} UTC, {age.total_seconds() / 3600:,.1f} hours ago"
    if schedule and age > schedule.interval + LATE:
        return Finding("last backup", "FAILED", f"{said}: later than scheduled; see the log.")
    return Finding("last backup", "OK", said)


def _run(*argv: str) -> processes.Completed | None:
    try:
        return processes.run(argv)
    except OSError:
        return None
