"""One restore: everything checked first, made beside the target, compared, then given its name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from . import destination, filling, interrupts, postgres, readiness, restoreplan, swapping, target
from . import source as sources
from .destination import Production
from .errors import ConfigError, Interruption, RefusedError
from .postgres import Session
from .progress import Progress
from .restoreplan import Job, Wish
from .settings import Settings
from .source import Source
from .target import Place


@dataclass(frozen=True)
class Outcome:
    """What was done, or would be.

    `kept` is the name that the old database has now, `skipped` what of globals.sql was left out.
    """

    place: Place
    backup: str
    steps: tuple[str, ...]
    roles: tuple[str, ...] = ()
    tables: int = 0
    rows: int = 0
    seconds: float = 0.0
    kept: str | None = None
    restored: bool = False
    skipped: tuple[str, ...] = ()


def run(
    path: Path,
    wish: Wish,
    own: Settings | None,
    described: Production,
    progress: Progress,
) -> Outcome:
    """Restore the backup at `path`, or one table of it, or its roles, as `wish` says.

    `own` are the settings of the environment whose server it goes to, None where a URL names it;
    `described` is what is known of production. Raises RefusedError with everything that is missing;
    DatabaseError, StorageError or ToolError of the restore itself; VerificationError if the backup
    is damaged or rows differ. The target is then as it was.
    """
    jobs = own.jobs if own else min(4, os.cpu_count() or 1)
    if wish.only_table is not None and wish.replace:
        raise ConfigError("--only-table and --replace exclude each other.", "Leave one out.")
    if wish.to is None and not wish.with_globals:
        raise ConfigError("--to is missing.", "Name the database to restore into.")
    place, identifier = destination.pinned(destination.place(wish.to, own))
    source = sources.read(path, wish.only_table, jobs, progress)
    why = destination.production(place, own, described, source.manifest, identifier)
    doubt = destination.doubt(place, own, described)
    wish = replace(wish, jobs=jobs, pg_bin=_pg_bin(own), production=why, doubt=doubt)
    if wish.to is None:
        return _make_roles(source, place, wish)
    return _into(source, place, wish, progress)


def _pg_bin(own: Settings | None) -> Path | None:
    if own:
        return own.pg_bin
    named = os.environ.get("BACKUP_PG_BIN")
    return Path(named) if named else None


def _into(source: Source, place: Place, wish: Wish, progress: Progress) -> Outcome:
    begun = time.monotonic()
    with target.standing_beside(place) as session:
        job = _job(session, source, place, wish)
        problems = [
            *restoreplan.refusals(session, job),
            *readiness.problems(session, job.server, restoreplan.need(job)),
            *filling.problems(job, session.target()),
        ]
        if problems:
            raise RefusedError(
                f"{source.name} cannot be restored into {place.shown}:\n"
                + "\n".join(f"- {problem}" for problem in problems),
                "Nothing was changed. Mend all of this, then run it again.",
            )
        outcome = Outcome(
            place, source.name, restoreplan.steps(job), job.roles.roles, skipped=job.roles.skipped
        )
        if wish.dry_run:
            return outcome
        _run_statements(session, job.roles.statements)
        with _telling(job):
            kept = None
            if job.whole:
                kept = _replace(session, job, progress)
            else:
                filling.fill(job, place, progress)
    counted = [] if wish.schema_only else source.tables
    return replace(
        outcome,
        tables=len(counted),
        rows=sum(table.rows for table in counted),
        seconds=time.monotonic() - begun,
        kept=kept,
        restored=True,
    )


def _make_roles(source: Source, place: Place, wish: Wish) -> Outcome:
    """Make the roles of globals.sql that the server lacks, all or none."""
    with postgres.connect(place.near(place.neighbour)) as session:
        plan = restoreplan.role_plan(session, source, wanted=True)
        if plan.roles and wish.production and wish.confirm != place.database:
            raise RefusedError(
                f"The target is production ({wish.production}).",
                f"Say --confirm {place.database}.",
            )
        if not wish.dry_run:
            _run_statements(session, plan.statements)
    return Outcome(place, source.name, plan.statements, plan.roles, skipped=plan.skipped)


def _job(session: Session, source: Source, place: Place, wish: Wish) -> Job:
    return Job(
        source,
        place,
        wish,
        readiness.server(session),
        restoreplan.state(session, place),
        restoreplan.role_plan(session, source, wanted=wish.with_globals),
    )


def _run_statements(session: Session, statements: tuple[str, ...] | list[str]) -> None:
    """All of them or none."""
    if statements:
        session.execute(f"BEGIN; {'; '.join(statements)}; COMMIT")


def _replace(session: Session, job: Job, progress: Progress) -> str | None:
    """The whole database under the target's name; the name that an old one was given."""
    place, properties = job.place, job.source.properties
    for name in target.sweep(place, session):
        progress.note(f"removed {name}, which a restore that was killed had left")
    now = datetime.now(UTC)
    name = place.stamped(target.RESTORING, now)
    with target.beside(place, session, properties.created(name, job.server.major), name):
        if not job.state.exists:
            # what cannot be set shall be known before the work, not after it
            trial = properties.statements(name, owners=job.wish.owners)
            session.execute(f"BEGIN; {';'.join(trial)}; ROLLBACK")
        filling.fill(job, Place(place.near(name), name), progress)
        with interrupts.ignored():
            return swapping.swap(session, job, name, now)


@contextmanager
def _telling(job: Job) -> Iterator[None]:
    """Where we are interrupted, say what that means here."""
    try:
        yield
    except Interruption as error:
        how = signal.Signals(error.number).name
        database = job.place.database
        if job.whole:
            error.what = f"Interrupted by {how}: {database} was not changed."
            error.do = "Run it again."
        else:
            table = f"{job.wish.only_table} is in {database} whole, or not at all"
            error.what = f"Interrupted by {how}: {table}."
            error.do = "Run it again if it is not there."
        raise
