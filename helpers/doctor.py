"""Whether the next scheduled backup would work, and whether the last one did."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from . import listing, processes
from . import schedule as schedules
from . import settings as configuration
from .errors import BackupError
from .schedule import Schedule
from .store import Store

Level = Literal["OK", "WARNING", "FAILED"]
LATE = timedelta(hours=1)
"""How long after its time a backup may still be running before it counts as missed."""


@dataclass(frozen=True)
class Finding:
    """One line: how a check went, and what to do if it did not go well."""

    check: str
    level: Level
    said: str


def examine(environment: str, root: Path, host_dir: Path) -> list[Finding]:
    """Every check of an environment, in the order of a run; checks never raise."""
    schedule, found = _schedule(environment)
    if schedule:
        found += [_daemon(schedule), _account(schedule.user)]
    found.append(_dry_run(environment, schedule.user if schedule else None))
    found.append(_last_backup(environment, root, host_dir, schedule))
    return found


def _schedule(environment: str) -> tuple[Schedule | None, list[Finding]]:
    found, problems = schedules.find(environment)
    if problems:
        return found, [Finding("schedule", "FAILED", problem) for problem in problems]
    if found is None:
        said = f"No timer or cron entry of {environment}: deploy it."
        return None, [Finding("schedule", "FAILED", said)]
    said = f"{found.file}" if found.timer else f"{found.file}: {found.when}"
    return found, [Finding("schedule", "OK", said)]


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
