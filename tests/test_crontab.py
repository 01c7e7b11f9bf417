"""What cron makes of an entry: cron(8) and crontab(5) have the last word."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers import crontab
from helpers.crontab import Entry

GOOD = "PATH=/usr/bin:/bin\n17 2 * * * pgbackup-prod /usr/local/bin/pgbackup-scheduled prod\n"


@pytest.mark.parametrize(
    ("when", "apart"),
    [
        ("* * * * *", timedelta(minutes=1)),
        ("*/5 * * * *", timedelta(minutes=5)),
        ("17 * * * *", timedelta(hours=1)),
        ("0 */6 * * *", timedelta(hours=6)),
        ("0 8-18/2 * * *", timedelta(hours=14)),
        ("17 2 * * *", timedelta(days=1)),
        ("0 2,14 * * *", timedelta(hours=12)),
        ("17 2 * * 1-5", timedelta(days=3)),
        ("17 2 * * Mon,THU", timedelta(days=4)),
        ("17 2 * * 0", timedelta(days=7)),
        ("17 2 * * 7", timedelta(days=7)),
        ("17 2 1 * *", timedelta(days=31)),
        ("17 2 1,15 * *", timedelta(days=17)),
        ("17 2 15 * Sun", timedelta(days=7)),
        ("17 2 1 jan-mar *", timedelta(days=306)),
        ("17 2 1 1 *", timedelta(days=366)),
        ("@hourly", timedelta(hours=1)),
        ("@daily", timedelta(days=1)),
        ("@weekly", timedelta(days=7)),
        ("@monthly", timedelta(days=31)),
    ],
)
def test_the_longest_time_between_two_runs(when: str, apart: timedelta) -> None:
    assert crontab.interval(when) == apart


@pytest.mark.parametrize(
    "when",
    [
        "60 2 * * *",
        "17 24 * * *",
        "17 2 0 * *",
        "17 2 30 2 *",
        "a b c d e",
        "1-0 * * * *",
        "@reboot",
    ],
)
def test_what_is_no_time_is_refused(when: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        crontab.interval(when)


def test_a_line_is_taken_apart() -> None:
    assert crontab.parse(GOOD.splitlines()[1]) == Entry(
        "17 2 * * *", "pgbackup-prod", "/usr/local/bin/pgbackup-scheduled prod"
    )
    assert crontab.parse("PATH=/usr/bin") is None


@pytest.mark.parametrize(
    ("name", "text", "mode", "complaint"),
    [
        ("pgbackup-prod", GOOD, 0o644, None),
        ("pgbackup.prod", GOOD, 0o644, "a dot in their name"),
        ("pgbackup-prod", GOOD, 0o664, "others than root may change"),
        ("pgbackup-prod", GOOD.rstrip("\n"), 0o644, "no line break"),
        ("pgbackup-prod", GOOD.replace("prod\n", "prod >$(date +%F)\n"), 0o644, "a % ends"),
        ("pgbackup-prod", GOOD.replace("prod\n", "prod >$(date +\\%F)\n"), 0o644, None),
        ("pgbackup-prod", GOOD.removeprefix("PATH=/usr/bin:/bin\n"), 0o644, "PATH is not set"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="cron takes files of root only")
def test_what_cron_passes_over_is_told(
    tmp_path: Path, name: str, text: str, mode: int, complaint: str | None
) -> None:
    path = tmp_path / name
    path.write_text(text)
    path.chmod(mode)
    found = list(crontab.problems(path, text))
    assert len(found) == (1 if complaint else 0)
    assert (complaint or "") in "".join(found)


@pytest.mark.parametrize(
    ("when", "following"),
    [
        ("17 2 * * *", "2026-03-05 02:17"),
        ("*/5 * * * *", "2026-03-04 12:05"),
        ("0 12 * * *", "2026-03-05 12:00"),
        ("30 8,14 * * *", "2026-03-04 14:30"),
        ("0 3 * * Sun", "2026-03-08 03:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("@monthly", "2026-04-01 00:00"),
    ],
)
def test_the_next_run_is_by_the_machines_own_time(when: str, following: str) -> None:
    now = datetime(2026, 3, 4, 12).astimezone()
    wanted = datetime.fromisoformat(following).astimezone()
    assert crontab.following(when, now) == wanted


def test_an_entry_that_never_runs_has_no_next_time() -> None:
    assert crontab.following("0 0 31 2 *", datetime.now(UTC)) is None
    with pytest.raises(ValueError, match="no time"):
        crontab.following("@reboot", datetime.now(UTC))
