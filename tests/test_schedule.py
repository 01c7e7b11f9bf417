"""What starts an environment's backups, as cron's and systemd's own files say."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers import schedule

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
CRON = "PATH=/usr/bin\n17 2 * * * pgbackup-prod /usr/local/bin/pgbackup-scheduled prod{}\n"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(schedule, "CRON_DIR", tmp_path / "cron.d")
    monkeypatch.setattr(schedule, "UNIT_DIR", tmp_path / "units")
    (tmp_path / "cron.d").mkdir()
    (tmp_path / "units").mkdir()
    return tmp_path


def test_a_machine_without_an_entry_has_no_schedule(host: Path) -> None:
    assert schedule.find("prod") == (None, [])
    (host / "cron.d").rmdir()
    assert schedule.find("prod") == (None, [])


def test_a_cron_entry_says_when_the_next_backup_starts(host: Path) -> None:
    file = host / "cron.d" / "pgbackup-prod"
    file.write_text(CRON.format(""))
    file.chmod(0o644)
    found, problems = schedule.find("prod")
    assert found
    assert problems == []
    assert (found.file, found.user, found.interval) == (file, "pgbackup-prod", timedelta(days=1))
    following = found.following(datetime.now(UTC))
    assert following
    assert f"{following.astimezone():%H:%M}" == "02:17"
    assert schedule.find("staging") == (None, [])


def test_an_entry_of_drills_starts_no_backup(host: Path) -> None:
    (host / "cron.d" / "pgbackup-prod").write_text(CRON.format(" drill"))
    assert schedule.find("prod") == (None, [])


def test_an_entry_that_cron_cannot_read_is_told(host: Path) -> None:
    (host / "cron.d" / "pgbackup-prod").write_text("61 2 * * * root pgbackup-scheduled prod\n")
    found, problems = schedule.find("prod")
    assert found is None
    assert "is no entry of a crontab" in problems[0]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is needed")
def test_a_timer_says_when_the_next_backup_starts(host: Path) -> None:
    unit = host / "units" / "pgbackup-prod.timer"
    unit.write_text("[Timer]\nOnCalendar=*-*-* 02:17:00 UTC\n")
    unit.with_suffix(".service").write_text("[Service]\nUser=pgbackup-prod\n")
    found, problems = schedule.find("prod")
    assert found
    assert (found.user, found.interval, problems) == ("pgbackup-prod", timedelta(days=1), [])
    now = datetime.now(UTC)
    following = found.following(now)
    assert following
    assert (f"{following:%H:%M}", following > now) == ("02:17", True)
