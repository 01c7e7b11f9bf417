"""Fill a database from a backup: pg_restore, the planner's statistics, and the rows compared."""

from __future__ import annotations

from . import abilities, clients, pgrestore, postgres
from .catalog import Target
from .clients import Client
from .errors import ConfigError, VerificationError
from .pgrestore import Order
from .postgres import Session
from .progress import Progress
from .restoreplan import Job
from .sqltext import quoted
from .target import Place


def fill(job: Job, place: Place, progress: Progress) -> None:
    """Restore into the database at `place`; raises what pg_restore's errors come out as, and
    VerificationError if the rows are not those that were backed up.
    """
    with postgres.connect(place.parameters) as inside:
        order = _order(job, inside.target())
    tables = [] if job.wish.schema_only else job.source.tables
    progress.begin("restore", len(tables), sum(table.bytes for table in tables))
    sizes = {table.qualified: table.bytes for table in tables}
    pgrestore.restore(order, pgrestore.watcher(sizes, order.jobs, progress.reach))
    if not tables:
        return
    with postgres.connect(place.parameters) as inside:
        progress.begin("analyze", 0, 0)
        names = ", ".join(f"{quoted(t.schema_)}.{quoted(t.name)}" for t in tables)
        inside.execute("ANALYZE" if job.whole else f"ANALYZE {names}")
        _compare(inside, job, progress)


def problems(job: Job, reached: Target) -> list[str]:
    """What keeps pg_restore from reading the archive here, known before anything is made."""
    try:
        client = _client(job, reached)
    except ConfigError as error:
        return [f"{error.what.rstrip('.')}: {error.do}"]
    packed = job.source.manifest.zstd and not job.wish.schema_only
    if packed and not abilities.reads_zstd(client):
        return [
            f"the backup is compressed by zstd, which pg_restore {client.version} in "
            f"{client.bin_dir} cannot read: name clients that can in BACKUP_PG_BIN"
        ]
    return []


def _client(job: Job, reached: Target) -> Client:
    major = max(job.server.major, job.source.archive_major)
    return clients.find(major, tls=reached.tls, pg_bin=job.wish.pg_bin)


def _order(job: Job, reached: Target) -> Order:
    source, server = job.source, job.server
    jobs = job.wish.jobs if job.whole else 1
    return Order(
        _client(job, reached),
        source.path,
        reached,
        server.major,
        jobs=jobs,
        only=None if job.whole else tuple(entry.dump_id for entry in source.entries),
        owners=job.wish.owners,
        schema_only=job.wish.schema_only,
        one_transaction=not job.whole,
        settings=pgrestore.index_settings(
            max(server.index_memory // jobs, server.maintenance_work_mem),
            max(server.maintenance_workers, server.parallel_workers // 2),
        ),
    )


def _compare(inside: Session, job: Job, progress: Progress) -> None:
    tables = job.source.tables
    progress.begin("compare", len(tables), sum(table.bytes for table in tables))
    wrong = []
    size = 0
    for number, table in enumerate(tables, start=1):
        rows = inside.rows(table.schema_, table.name)
        if rows != table.rows and not job.whole:  # which others may write to at once
            rows = inside.rows_made_with(table.schema_, table.name)
        if rows != table.rows:
            wrong.append(f"{table.qualified} has {rows:,} rows instead of {table.rows:,}")
        size += table.bytes
        progress.reach(number, size)
    if wrong:
        raise VerificationError(
            f"What was restored is not what was backed up: {'; '.join(wrong[:5])}.",
            "Report it with the versions of both servers; restore another backup meanwhile.",
        )
