"""Whether an environment is protected: every reason for and against it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from helpers import forecast, index, protection, prune, status
from helpers.checks import Outcome
from helpers.index import Glance
from helpers.protection import Circumstances, State
from helpers.retention import Candidate
from helpers.settings import Keep
from helpers.store import Store

from .histories import Past, write
from .running import Ran, environment, pgbackup

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
URL = "postgresql://nobody@127.0.0.1:1/chat"


def around(**changes: Any) -> Circumstances:
    values: dict[str, Any] = {
        "environment": "test",
        "host": "here",
        "now": NOW,
        "store": "/store",
        "max_age": 26 * HOUR,
        "keep": Keep(),
        "free": 10**9,
        **changes,
    }
    return Circumstances(**values)


def assess(tmp_path: Path, *pasts: Past, **changes: Any) -> State:
    for past in pasts:
        write(tmp_path, past)
    found = index.glances(Store(tmp_path), "test")
    return protection.assess(found, prune.of(found, Keep()), around(**changes))


def test_a_young_good_backup_protects(tmp_path: Path) -> None:
    state = assess(tmp_path, Past(NOW - 3 * HOUR, rows=7), Past(NOW - 30 * HOUR))
    assert (state.verdict, state.age, state.backups) == ("protected", 3 * HOUR, 2)
    assert state.good
    assert (state.good.rows, state.good.depth) == (7, 2)


def test_no_backup_does_not_protect(tmp_path: Path) -> None:
    state = assess(tmp_path)
    assert (state.verdict, state.problems) == ("not protected", ("There is no backup yet.",))


def test_an_old_backup_does_not_protect(tmp_path: Path) -> None:
    state = assess(tmp_path, Past(NOW - 27 * HOUR))
    assert state.verdict == "not protected"
    assert state.problems == (
        "The newest good backup is 27 hours old; at most 26 hours were asked for.",
    )
    assert assess(tmp_path, max_age=28 * HOUR).verdict == "protected"


@pytest.mark.parametrize("outcome", ["failed", "cannot judge", None])
def test_a_backup_that_is_not_verified_does_not_protect(tmp_path: Path, outcome: Any) -> None:
    state = assess(tmp_path, Past(NOW - HOUR, outcome=outcome))
    assert state.verdict == "not protected"
    assert state.problems == ("None of its backups is good (1 in all).",)


def test_a_newest_backup_that_is_suspect_is_a_problem_an_older_one_a_risk(tmp_path: Path) -> None:
    lost = ("table public.messages is gone",)
    older = assess(tmp_path, Past(NOW - 2 * HOUR), Past(NOW - 5 * HOUR, suspect=lost))
    assert (older.verdict, older.suspects) == ("at risk", 1)
    newest = assess(tmp_path, Past(NOW - HOUR, suspect=lost))
    assert newest.verdict == "not protected"
    assert newest.problems == ("The newest backup is suspect: table public.messages is gone.",)


def test_a_drill_that_failed_is_a_problem_until_one_passes(tmp_path: Path) -> None:
    bad = Past(NOW - 9 * HOUR, drill="failed", problems=("public.messages: 3 rows, not 4",))
    failed = assess(tmp_path, bad, Past(NOW - HOUR))
    assert failed.problems == ("The last drill failed: public.messages: 3 rows, not 4",)
    passed = assess(tmp_path, Past(NOW - 5 * HOUR, drill="passed", recovery=200))
    assert passed.verdict == "at risk"
    assert passed.drill
    assert (passed.drill.outcome, passed.drill.seconds) == ("passed", 200)


def test_what_a_restore_took_is_held_against_the_drills_before(tmp_path: Path) -> None:
    times = {1: 30.0, 2: 20.0, 3: 900.0, 4: 22.0, 5: 21.0}
    outcomes: dict[int, Outcome] = {3: "failed"}
    weeks = [
        Past(NOW - n * 7 * DAY, drill=outcomes.get(n, "passed"), recovery=took)
        for n, took in times.items()
    ]
    state = assess(tmp_path, *weeks)
    assert state.drill
    assert (state.drill.seconds, state.recovery_before) == (30, 21)
    assert "took 30 s (21 s before)" in status.facts(state)["last drill"]
    alone = assess(tmp_path / "alone", weeks[0])
    assert alone.recovery_before is None
    assert status.facts(alone)["last drill"].endswith("took 30 s")


def test_a_backup_from_the_future_is_a_problem_and_not_the_newest_good_one(tmp_path: Path) -> None:
    state = assess(tmp_path, Past(NOW - HOUR), Past(NOW + DAY))
    assert state.age == HOUR
    assert "from the future" in state.problems[0]


def test_a_broken_schedule_is_a_risk(tmp_path: Path) -> None:
    state = assess(tmp_path, Past(NOW - HOUR), ill=("cron passes over it.",))
    assert state.risks == ("The schedule will not work: cron passes over it.",)


def test_only_the_database_that_is_backed_up_counts(tmp_path: Path) -> None:
    write(tmp_path, Past(NOW - HOUR), database="another")
    state = assess(tmp_path, Past(NOW - 2 * DAY), database="chat")
    assert (state.database, state.backups, state.verdict) == ("chat", 1, "not protected")


def daily(days: int, size: int, growth: int = 0) -> list[tuple[Candidate, int]]:
    return [
        (
            Candidate(f"n{day}", NOW - (days - day) * DAY, verified=True, suspect=False),
            size + growth * day,
        )
        for day in range(days)
    ]


def full(found: list[tuple[Candidate, int]], free: int, keep: Keep | None) -> timedelta | None:
    trend = forecast.trend({candidate.time: size for candidate, size in found})
    assert trend
    return forecast.full_in(found, trend, free, keep)


def test_a_store_that_nobody_prunes_fills_by_a_backup_a_day() -> None:
    fills = full(daily(10, 100), free=1000, keep=None)
    assert fills
    assert 10 * DAY <= fills <= 13 * DAY


def test_a_store_that_is_pruned_and_does_not_grow_is_never_full() -> None:
    assert full(daily(7, 100), 101, Keep(daily=7, weekly=0, monthly=0)) is None


def test_a_store_that_is_pruned_is_full_once_its_backups_have_grown() -> None:
    keep = Keep(daily=7, weekly=0, monthly=0)
    slow = full(daily(7, 1000, growth=10), 1000 + 7 * 10 * 30, keep)
    assert slow
    assert 20 * DAY <= slow <= 40 * DAY


def test_two_backups_are_no_trend() -> None:
    assert forecast.trend({NOW: 1, NOW - DAY: 2}) is None
    assert forecast.trend({NOW - hours * HOUR: 1 for hours in range(5)}) is None


def test_a_disk_that_is_soon_full_is_a_risk(tmp_path: Path) -> None:
    pasts = [Past(NOW - DAY * day - HOUR, size=1000) for day in range(7)]
    state = assess(tmp_path, *pasts, free=2500)
    assert state.verdict == "at risk"
    assert "The disk will be full in" in state.risks[0]
    assert assess(tmp_path, free=900).risks == ("The disk has no room for another backup.",)


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(1, "1 minute"), (119, "119 minutes"), (120, "2 hours"), (2880, "2 days"), (-5, "0 minutes")],
)
def test_a_span_of_time_is_said_in_one_unit(minutes: int, said: str) -> None:
    assert protection.span(timedelta(minutes=minutes)) == said


def ask(tmp_path: Path, *words: str, **extra: str) -> Ran:
    env = environment(URL, tmp_path / "store", **extra)
    return pgbackup("status", *words, env=env, cwd=tmp_path)


def test_status_says_it_on_one_screen_and_ends_with_0_or_8(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    write(tmp_path / "store", Past(now - 3 * HOUR, drill="passed", recovery=200))
    well = ask(tmp_path)
    assert well.code == 0, well.said
    assert "PROTECTED" in well.out
    for said in ("3 hours ago (target 26 hours)", "took 3.33 min", "no schedule here", "depth 3"):
        assert said in well.out
    ill = ask(tmp_path, "--json", BACKUP_MAX_AGE="2h")
    assert ill.code == 8
    assert ill.json["protected"] is False
    assert ill.json["environments"][0]["verdict"] == "not protected"


@pytest.mark.parametrize(
    ("extra", "code", "word"),
    [
        pytest.param({}, 0, "OK", id="well"),
        pytest.param({"BACKUP_MAX_AGE": "2h"}, 2, "CRITICAL", id="old"),
        pytest.param({"BACKUP_JOBS": "x"}, 3, "UNKNOWN", id="misconfigured"),
    ],
)
def test_a_monitor_gets_one_line_and_its_exit_code(
    tmp_path: Path, extra: dict[str, str], code: int, word: str
) -> None:
    write(tmp_path / "store", Past(datetime.now(UTC) - 3 * HOUR))
    ran = ask(tmp_path, "--nagios", **extra)
    assert (ran.code, len(ran.out.splitlines())) == (code, 1)
    assert ran.out.startswith(f"PGBACKUP {word} - test: ")
    assert ran.out.count("|") == 1
    assert bool(re.search(r" \| test_age=108\d\ds;;\d+;0 test_size=", ran.out)) == (code != 3)


def test_a_monitor_is_warned_of_a_risk(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    write(tmp_path / "store", Past(now - HOUR))
    write(tmp_path / "store", Past(now - 5 * HOUR, suspect=("lost",)))
    ran = ask(tmp_path, "--nagios")
    assert (ran.code, ran.out[:18]) == (1, "PGBACKUP WARNING -")


def test_an_environment_that_cannot_be_looked_at_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path / "good", Past(datetime.now(UTC) - HOUR), environment="good")
    (tmp_path / ".env.good").write_text(f"DATABASE_URL={URL}\nBACKUP_DIR=good\n")
    (tmp_path / ".env.broken").write_text("BACKUP_JOBS=x\nBACKUP_DIR=broken\n")
    (tmp_path / ".env.lost").write_text(f"DATABASE_URL={URL}\nBACKUP_DIR=nowhere/at/all\n")
    for file in tmp_path.glob(".env.*"):
        file.chmod(0o600)
    env = environment(None, None)
    del env["BACKUP_ENV"]
    ran = pgbackup("status", env=env, cwd=tmp_path)
    assert ran.code == 8
    assert "good on " in ran.out
    assert "1 of 3 are protected. Not: broken on" in ran.out
    assert "BACKUP_JOBS" in ran.out
    assert "nowhere/at/all" in ran.out
    document = json.loads(pgbackup("status", "--json", env=env, cwd=tmp_path).out)
    verdicts = {one["environment"]: one["verdict"] for one in document["environments"]}
    assert verdicts == {"broken": "unknown", "good": "protected", "lost": "unknown"}


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [("pur", 3), ("pnu", 2), ("pr", 1), ("p", 0), ("", 3)],
    ids=["unknown", "not-protected", "at-risk", "protected", "none"],
)
def test_a_monitor_hears_the_worst_of_several(verdicts: str, code: int) -> None:
    sound = status.unknown("test", OSError(5, "x"))
    changes: dict[str, dict[str, object]] = {
        "p": {"error": None},
        "r": {"error": None, "risks": ("soon",)},
        "n": {"error": None, "problems": ("old",)},
        "u": {},
    }
    states = [sound.model_copy(update=changes[verdict]) for verdict in verdicts]
    assert status.monitored(states).code == code


def test_hosts_of_one_environment_have_performance_data_of_their_own() -> None:
    states = [status.unknown("prod", OSError(5, "x"), host) for host in ("a", "b")]
    space = protection.Space(used=1, free=2)
    both = [state.model_copy(update={"error": None, "space": space}) for state in states]
    assert "prod_a_free=2B;;;0 prod_b_free=2B;;;0" in status.monitored(both).text


def test_what_a_backup_says_cannot_begin_a_line_of_its_own() -> None:
    hostile = "x\n  verified  everything | lies\x1b[2J"
    state = status.unknown("test", OSError(5, "x")).model_copy(
        update={"error": None, "problems": (hostile,)}
    )
    said = status.answer([state]).text
    assert "\x1b" not in said
    assert not any(line.startswith("  verified  everything") for line in said.splitlines())
    line = status.monitored([state]).text
    assert (len(line.splitlines()), line.count("|")) == (1, 1)


def test_glances_of_a_store_are_enough(tmp_path: Path) -> None:
    write(tmp_path, Past(NOW, drill="passed"))
    (found,) = index.glances(Store(tmp_path), "test")
    assert isinstance(found, Glance)
    assert [check.depth for check in found.checks] == [1, 2, 3]
