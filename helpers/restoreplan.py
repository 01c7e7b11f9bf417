"""What a restore is asked to do, what it would do, and what of the target speaks against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import postgres, queries, roles, target
from .postgres import Session
from .readiness import Need, Server
from .source import Source
from .sqltext import quoted
from .target import Place


@dataclass(frozen=True)
class Wish:
    """What a person asked for.

    `to` None asks for roles alone; `production` is why the target is taken for one, if it is;
    `doubt` why nobody can tell.
    """

    to: str | None = None
    only_table: str | None = None
    schema_only: bool = False
    owners: bool = True
    replace: bool = False
    end_sessions: bool = False
    with_globals: bool = False
    dry_run: bool = False
    confirm: str | None = None
    production: str | None = None
    doubt: str | None = None
    jobs: int = 1
    pg_bin: Path | None = None


@dataclass(frozen=True)
class State:
    """What is at the target's name: nothing, an empty database, or one that holds something."""

    exists: bool
    contents: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is a database that nobody has put anything into."""
        return self.exists and not self.contents


@dataclass(frozen=True)
class Job:
    """One restore: what, where to, how, and how things stand there."""

    source: Source
    place: Place
    wish: Wish
    server: Server
    state: State
    roles: roles.Plan

    @property
    def whole(self) -> bool:
        """Whether it is the database, not one table of it."""
        return self.source.chosen is None


def role_plan(session: Session, source: Source, *, wanted: bool) -> roles.Plan:
    """The roles to make, if any are wanted."""
    if not wanted:
        return roles.Plan((), (), ())
    existing = [str(row[0]) for row in session.query(queries.ALL_ROLES)]
    return roles.plan(source.globals_sql(), existing)


def state(session: Session, place: Place) -> State:
    """What is at the target's name now."""
    if not session.query(queries.DATABASE, place.database):
        return State(exists=False)
    with postgres.connect(place.parameters) as inside:
        found = tuple(str(row[0]) for row in inside.query(queries.CONTENTS))
    return State(exists=True, contents=found)


def refusals(session: Session, job: Job) -> Iterator[str]:
    """What the safety checks say of the target itself."""
    place, wish = job.place, job.wish
    if wish.confirm is not None and wish.confirm != place.database:
        yield f"--confirm names {wish.confirm}, but the target is {place.database}"
    elif wish.production and wish.confirm is None:
        yield f"the target is production ({wish.production}): say --confirm {place.database}"
    elif wish.doubt and job.state.contents and wish.confirm is None:
        yield f"{place.database} might be production ({wish.doubt}): say --confirm {place.database}"
    if not job.whole:
        yield from _table_refusals(job)
    elif job.state.contents and not wish.replace:
        yield (
            f"{place.database} is not empty (it has {', '.join(job.state.contents)}): name "
            "another, or put the backup in its place with --replace"
        )
    elif job.state.exists:
        yield from _swap_refusals(session, job)


def _swap_refusals(session: Session, job: Job) -> Iterator[str]:
    name = job.place.database
    if not session.query(queries.DATABASE, name)[0][0]:
        yield f"{name} is owned by a role that ours is no member of"
    who = target.sessions(session, name)
    if who and not job.wish.end_sessions:
        yield (
            f"somebody is connected to {name} ({'; '.join(who)}): end those sessions, or add "
            "--end-sessions"
        )
    prepared = session.query(queries.PREPARED, name)[0][0]
    if prepared:
        yield (
            f"{prepared} prepared transactions wait in {name}: COMMIT PREPARED or ROLLBACK "
            "PREPARED them there"
        )


def _table_refusals(job: Job) -> Iterator[str]:
    if not job.state.exists:
        yield f"there is no database {job.place.database} for the table to go into"
        return
    with postgres.connect(job.place.parameters) as inside:
        for entry in job.source.entries:
            if entry.desc == "TABLE":
                name = f"{quoted(entry.namespace or '')}.{quoted(entry.tag or '')}"
                if inside.query("SELECT pg_catalog.to_regclass(%s)", name)[0][0] is not None:
                    yield (
                        f"{name} is there already: drop it, or move it to another schema (renamed "
                        "it would keep the names of its indexes)"
                    )


def need(job: Job) -> Need:
    """What the backup needs of the server."""
    source, owners = job.source, job.wish.owners
    named = source.roles(owners=owners)
    if job.whole and owners and not job.state.exists:
        named |= source.properties.roles
    return Need(
        major=source.major,
        roles=frozenset(named - set(job.roles.roles)),
        owners=frozenset(source.owners() if owners else ()),
        extensions=source.manifest.extensions if job.whole else (),
        locales=source.properties.locales,
        encoding=source.properties.encoding,
        size=source.manifest.database.size if job.whole and not job.wish.schema_only else 0,
        jobs=job.wish.jobs if job.whole else 1,
        creates=job.whole,
    )


def steps(job: Job) -> tuple[str, ...]:
    """What will be done, for people."""
    place = job.place
    said = [f"make role {role}" for role in job.roles.roles]
    if not job.whole:
        entries = len(job.source.entries)
        return (*said, f"restore {entries} entries into {place.shown}, in one transaction")
    what = "the definitions" if job.wish.schema_only else "everything"
    said.append(f"restore {what} into a new database beside {place.shown}, and compare it")
    if job.state.contents:
        said.append(f"rename {place.database} to a dated name, and keep it")
    elif job.state.exists:
        said.append(f"drop the empty {place.database}")
    said.append(f"name the new database {place.database}")
    return tuple(said)
