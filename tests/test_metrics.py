"""What monitoring reads of a run: complete, bounded, whole, and readable for the exporter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers import checks, listing, metrics
from helpers.checks import Check, Recovery
from helpers.names import parse_name
from helpers.outcomes import Facts, Run
from helpers.store import Store

from .running import environment, pgbackup
from .servers import Database


@pytest.fixture(autouse=True)
def private() -> Iterator[None]:
    """The umask of the scheduled service, which keeps files from everybody else."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def taken(database: Database, tmp_path: Path) -> Path:
    """A store with one backup of a table of 100 rows, whose run wrote metrics."""
    database.execute("CREATE TABLE notes AS SELECT generate_series(1, 100) AS id")
    for name in ("store", "textfile"):
        (tmp_path / name).mkdir()
    measured = {"BACKUP_METRICS_DIR": f"{tmp_path}/textfile", "BACKUP_MAX_AGE": "90m"}
    env = environment(database.url, tmp_path / "store", **measured)
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert (ran.code, ran.err.count("Warning")) == (0, 0), ran.said
    return tmp_path / "store"


def values(file: Path) -> dict[str, float]:
    """A file's samples by their names; those of tables by theirs."""
    families = text_string_to_metric_families(file.read_text())
    found = {}
    for family in families:
        for sample in family.samples:
            assert sample.labels["environment"] == "test"
            table = sample.labels.get("table", "")
            verb = sample.labels.get("verb", "")
            found[
                f"{sample.name.removeprefix('pgbackup_')}{table and ' '}{table}{verb and ' '}{verb}"
            ] = sample.value
    return found


def run(verb: str = "backup", database: str | None = None, code: int = 0) -> Run:
    return Run(verb, "test", "host", datetime.now(UTC), 2.5, code, facts=Facts(database))


def test_a_backup_leaves_every_number_for_the_exporter(taken: Path, database: Database) -> None:
    file = taken.parent / "textfile" / "pgbackup_test.prom"
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(file.parent.iterdir()) == [file]
    assert f'database="{database.name}"' in file.read_text()
    found = values(file)
    now = datetime.now(UTC).timestamp()
    assert now - 600 < found["last_success_timestamp_seconds"] <= now
    assert now - 600 < found["last_run_timestamp_seconds backup"] <= now
    assert found["last_run_exit_code backup"] == 0
    assert found["last_run_duration_seconds backup"] >= found["backup_duration_seconds"] > 0
    assert found["table_rows notes"] == found["backup_rows"] == 100
    assert found["backup_tables"] == 1
    assert found["backup_bytes"] > 1000
    assert found["verification_depth"] == checks.ARCHIVE
    assert now - 600 < found["verification_timestamp_seconds"] <= now
    assert found["suspect"] == 0
    assert found["store_free_bytes"] > 0
    assert found["max_age_seconds"] == 5400
    assert "drill_success" not in found


def test_a_drill_is_measured_with_the_time_that_its_restore_took(taken: Path) -> None:
    (name,) = Store(taken).names()
    place = Store(taken).place(name)
    record = checks.read(place)
    assert record
    recovery = Recovery(server_version="18", seconds=12.5, phases={})
    time = datetime.now(UTC) - timedelta(days=3)
    drilled = Check(depth=checks.DRILL, outcome="passed", time=time, recovery=recovery)
    checks.write(place, record.with_checks(drilled))
    metrics.write(taken.parent / "textfile", run("drill", name.database), taken)
    found = values(taken.parent / "textfile" / "pgbackup_test.prom")
    assert found["drill_recovery_seconds"] == 12.5
    assert found["drill_success"] == 1
    assert found["drill_timestamp_seconds"] == pytest.approx(time.timestamp())
    assert found["verification_depth"] == checks.DRILL
    assert {"last_run_exit_code drill", "last_run_exit_code backup"} <= set(found)


def test_a_drill_that_cannot_judge_is_neither_a_proof_nor_a_failure(taken: Path) -> None:
    (name,) = Store(taken).names()
    place = Store(taken).place(name)
    record = checks.read(place)
    assert record
    unjudged = Check(depth=checks.DRILL, outcome="cannot judge", time=datetime.now(UTC))
    checks.write(place, record.with_checks(unjudged))
    metrics.write(taken.parent / "textfile", run("drill", name.database, 8), taken)
    found = values(taken.parent / "textfile" / "pgbackup_test.prom")
    assert found["last_run_exit_code drill"] == 8
    assert not {"drill_success", "drill_timestamp_seconds"} & set(found)


def test_a_run_that_fails_leaves_the_last_success_as_it_was(taken: Path) -> None:
    directory = taken.parent / "textfile"
    before = values(directory / "pgbackup_test.prom")
    (name,) = Store(taken).names()
    metrics.write(directory, run(database=name.database, code=3), taken)
    after = values(directory / "pgbackup_test.prom")
    assert after["last_run_exit_code backup"] == 3
    for name in ("last_success_timestamp_seconds", "max_age_seconds"):
        assert after[name] == before[name]
    taken.rename(taken.with_name("unmounted"))
    metrics.write(directory, run(code=4), taken)
    gone = values(directory / "pgbackup_test.prom")
    assert gone["last_run_exit_code backup"] == 4
    assert gone["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]
    assert set(gone) == set(before)


def test_a_good_backup_that_was_lost_is_no_last_success(taken: Path) -> None:
    directory = taken.parent / "textfile"
    (name,) = Store(taken).names()
    next(Store(taken).place(name).glob("*.dat*")).unlink()
    metrics.write(directory, run(database=name.database, code=3), taken)
    assert "last_success_timestamp_seconds" not in values(directory / "pgbackup_test.prom")


def test_a_suspect_backup_is_flagged_and_is_no_success(taken: Path, database: Database) -> None:
    directory = taken.parent / "textfile"
    before = values(directory / "pgbackup_test.prom")
    database.execute("TRUNCATE notes")
    env = environment(database.url, taken, BACKUP_METRICS_DIR=str(directory))
    assert pgbackup("backup", env=env, cwd=taken.parent).code == 8
    found = values(directory / "pgbackup_test.prom")
    assert found["suspect"] == 1
    assert found["table_rows notes"] == 100
    assert found["last_success_timestamp_seconds"] == before["last_success_timestamp_seconds"]


def test_a_thousand_tables_are_no_thousand_series() -> None:
    tables = [("public", f"t{number}", number) for number in range(1000)]
    kept = metrics.largest(tables)
    assert len(kept) == metrics.TABLES + 1
    assert kept[0] == ("public", "t999", 999)
    assert kept[-1] == ("", metrics.OTHERS, sum(range(1000 - metrics.TABLES)))
    assert metrics.largest(tables[:3]) == [tables[2], tables[1], tables[0]]


def test_names_from_a_database_break_no_line() -> None:
    name = 'a"b\\c\nd'
    labels = (("database", name), ("environment", "test"))
    written = metrics.render({("suspect", labels): 1.0}).decode()
    (family,) = text_string_to_metric_families(written)
    assert family.samples[0].labels["database"] == name


def test_a_directory_that_is_not_there_is_a_warning(database: Database, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    env = environment(database.url, tmp_path / "store", BACKUP_METRICS_DIR=f"{tmp_path}/none")
    ran = pgbackup("backup", env=env, cwd=tmp_path)
    assert ran.code == 0
    assert f"Warning: metrics: {tmp_path}/none: No such file or directory" in ran.err


def test_a_file_that_is_damaged_is_written_anew(taken: Path) -> None:
    directory = taken.parent / "textfile"
    file = metrics.file(directory, "test")
    good = set(values(file))
    file.write_bytes(b"pgbackup_suspect{ \xff\n")
    (name,) = Store(taken).names()
    metrics.write(directory, run(database=name.database), taken, timedelta(minutes=90))
    assert set(values(file)) == good
    assert parse_name(str(name))
    assert listing.newest_trusted(Store(taken), "test")
