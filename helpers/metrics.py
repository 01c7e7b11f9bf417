"""What monitoring asks, as a text file that Prometheus' node_exporter reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import checks, listing
from .checks import Check
from .errors import BackupError
from .listing import Backup
from .outcomes import Run
from .store import Store

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

PREFIX: Final = "pgbackup_"
TABLES: Final = 50
"""Tables with a series of their own, those with most rows; the others are summed up in one."""

OTHERS: Final = "(others)"
_DRILLS: Final = 1000
"""Newest backups that are searched for one that was drilled."""

_STAYS: Final = ("last_run_", "max_age_")
"""What no store says: it stays until a run says it anew."""

HELP: Final = {
    "last_run_timestamp_seconds": "When the last run of a verb ended.",
    "last_run_duration_seconds": "How long that run took.",
    "last_run_exit_code": "How it ended: 0 is well, 8 with the suspect flag is a suspect backup.",
    "last_success_timestamp_seconds": "When the newest good backup was finished.",
    "max_age_seconds": "How old it may be: BACKUP_MAX_AGE.",
    "backup_duration_seconds": "How long the newest good backup took, verification included.",
    "backup_bytes": "Size of the newest good backup on the disk.",
    "backup_rows": "Rows in the newest good backup.",
    "backup_tables": "Tables in the newest good backup.",
    "table_rows": f"Rows of a table in the newest good backup; the {TABLES} largest have a series.",
    "verification_depth": "The deepest check it passed: 1 files, 2 archive, 3 drill.",
    "verification_timestamp_seconds": "When it was last checked at that depth.",
    "suspect": "1 if the newest backup is suspect: it looks as if data were lost.",
    "drill_timestamp_seconds": "When a backup was last restored for proof.",
    "drill_success": "1 if that restored backup was equal to its manifest.",
    "drill_recovery_seconds": "How long that restore took.",
    "store_free_bytes": "Free space where backups are kept.",
}

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]


@dataclass(frozen=True)
class Stored:
    """What a store says of one database: its newest backup, the newest good one, the last drill."""

    database: str
    free: int
    newest: Backup | None
    good: Backup | None
    drill: Check | None


def file(directory: Path, environment: str) -> Path:
    """The text file of an environment."""
    return directory / f"pgbackup_{environment}.prom"


def write(directory: Path, run: Run, store: Path, max_age: timedelta | None = None) -> None:
    """Renew an environment's file in one step, readable by all; raises OSError.

    What a store that cannot be read does not say stays as it was.
    """
    path = file(directory, run.environment)
    before = _read(path)
    try:
        stored = look(Store(store), run.environment, run.facts.database)
    except BackupError:
        database = run.facts.database or next((_label(k, "database") for k in before), "")
        now = dict(before)
    else:
        database = stored.database
        now = of_store(stored, run.environment)
    kept = {
        key: value
        for key, value in before.items()
        if key[0].startswith(_STAYS) and _label(key, "database") == database
    }
    _replace(path, render(kept | now | of_run(run, database, max_age)))


def look(store: Store, environment: str, database: str | None) -> Stored:
    """What there is of a database, or of that of the newest backup; raises StorageError."""
    free = store.free()
    names = store.names(environment)
    chosen = database or (names[0].database if names else "")
    own = [name for name in names if name.database == chosen]
    backups = (listing.load(store.place(name), name) for name in own)
    newest = next(backups, None)
    good = newest if newest is None or newest.trusted else next(_trusted(backups), None)
    drills = (_drill(store.place(name)) for name in own[:_DRILLS])
    return Stored(chosen, free, newest, good, next((drill for drill in drills if drill), None))


def of_run(run: Run, database: str, max_age: timedelta | None) -> Samples:
    """What the run itself says, and its settings."""
    own = {"environment": run.environment, "database": database}
    labels = own | {"verb": run.verb}
    values = {
        "last_run_timestamp_seconds": run.ended.timestamp(),
        "last_run_duration_seconds": run.seconds,
        "last_run_exit_code": run.code,
    }
    target = {_key("max_age_seconds", own): max_age.total_seconds()} if max_age else {}
    return {_key(name, labels): value for name, value in values.items()} | target


def of_store(stored: Stored, environment: str) -> Samples:
    """What the store says."""
    labels = {"environment": environment, "database": stored.database}
    values: dict[str, float] = {"store_free_bytes": stored.free}
    if stored.newest:
        values["suspect"] = bool(stored.newest.suspect)
    if stored.drill:
        values["drill_timestamp_seconds"] = stored.drill.time.timestamp()
        values["drill_success"] = stored.drill.outcome == "passed"
        if stored.drill.recovery:
            values["drill_recovery_seconds"] = stored.drill.recovery.seconds
    rows: Samples = {}
    if stored.good and stored.good.manifest and stored.good.verification:
        found, record = stored.good.manifest, stored.good.verification
        check = record.outcome(record.depth)
        values |= {
            "last_success_timestamp_seconds": found.backup.finished.timestamp(),
            "backup_duration_seconds": found.backup.seconds,
            "backup_bytes": found.totals.file_bytes,
            "backup_rows": found.totals.rows,
            "backup_tables": found.totals.tables,
            "verification_depth": record.depth,
        }
        if check:
            values["verification_timestamp_seconds"] = check.time.timestamp()
        tables = ((table.schema_, table.name, table.rows) for table in found.tables)
        rows = {
            _key("table_rows", labels | {"schema": schema, "table": table}): number
            for schema, table, number in largest(tables)
        }
    return {_key(name, labels): float(value) for name, value in values.items()} | rows


def largest(tables: Iterable[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """At most TABLES tables and one more for the sum of the others."""
    ordered = sorted(tables, key=lambda table: (-table[2], table[0], table[1]))
    rest = ordered[TABLES:]
    summed = [("", OTHERS, sum(rows for _, _, rows in rest))] if rest else []
    return ordered[:TABLES] + summed


def render(samples: Samples) -> bytes:
    """The samples in Prometheus' text format, by its own library."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - slow
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    class Collector:
        def collect(self) -> Iterator[GaugeMetricFamily]:
            for name, text in HELP.items():
                own = {labels: value for (its, labels), value in samples.items() if its == name}
                if own:
                    names = [label for label, _ in next(iter(own))]
                    family = GaugeMetricFamily(PREFIX + name, text, labels=names)
                    for labels, value in sorted(own.items()):
                        family.add_metric([said for _, said in labels], value)
                    yield family

    registry = CollectorRegistry()
    registry.register(Collector())
    return generate_latest(registry)


def _read(path: Path) -> Samples:
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, IndexError):
        return {}
    samples = [sample for family in families for sample in family.samples]
    found = {_key(s.name.removeprefix(PREFIX), s.labels): s.value for s in samples}
    return {key: value for key, value in found.items() if key[0] in HELP}


def _replace(path: Path, data: bytes) -> None:
    # Not .prom: the exporter would read it half written.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        descriptor = os.open(temporary, flags, 0o644)
        with os.fdopen(descriptor, "wb") as target:
            target.write(data)
            # The exporter is another user, whatever our umask.
            os.fchmod(target.fileno(), 0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _trusted(backups: Iterable[Backup]) -> Iterator[Backup]:
    return (backup for backup in backups if backup.trusted)


def _drill(place: Path) -> Check | None:
    try:
        record = checks.read(place)
    except BackupError:
        return None
    found = record.outcome(checks.DRILL) if record else None
    # Neither a proof nor a failure: its run's exit code tells of it.
    return found if found and found.outcome != "cannot judge" else None


def _key(name: str, labels: dict[str, str]) -> tuple[str, Labels]:
    return name, tuple(sorted(labels.items()))


def _label(key: tuple[str, Labels], name: str) -> str:
    return dict(key[1]).get(name, "")
