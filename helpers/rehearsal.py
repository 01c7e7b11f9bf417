"""Restore an archive in phases that are timed: definitions, data, each kind of index, the rest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from . import pgrestore, postgres, toc
from .clients import Client
from .pgrestore import Order
from .places import Place, Subject
from .progress import Progress
from .sqltext import quoted
from .toc import Entry, Toc

INDEXES, VECTOR_INDEXES, CONSTRAINTS, REST = "indexes", "vector indexes", "constraints", "rest"
_AFTER = (INDEXES, VECTOR_INDEXES, CONSTRAINTS, REST)
_KINDS = {
    **dict.fromkeys(("INDEX", "CONSTRAINT", "INDEX ATTACH"), INDEXES),
    **dict.fromkeys(("FK CONSTRAINT", "CHECK CONSTRAINT"), CONSTRAINTS),
}
_VECTOR = re.compile(r"\bUSING (hnsw|ivfflat)\b")
_ICU = re.compile(r"\bprovider = icu\b")
_COLLATE = re.compile(r'\bCOLLATE pg_catalog\.("(?:[^"]|"")+"|\w+)')
_SUPERUSERS_OWN = ("EVENT TRIGGER", "FOREIGN DATA WRAPPER", "SUBSCRIPTION")


@dataclass(frozen=True)
class Restored:
    """How long each phase took, in seconds; what stands in for collations that are not there."""

    phases: Mapping[str, float]
    notes: tuple[str, ...]
    replaced: frozenset[str]


def restore(subject: Subject, place: Place, client: Client, progress: Progress) -> Restored:
    """Restore the archive into the place by the client's pg_restore; pgrestore's errors.

    On a server of its own the definitions are restored by a superuser, and what runs functions of
    the archive on its rows, the data and what is built of it, by a role that is none.
    """
    contents, jobs = subject.contents, subject.jobs
    phases: dict[str, float] = {}
    sizes = {table.qualified: table.bytes for table in subject.found.tables}
    with postgres.connect(place.admin) as session:
        admin = Order(
            client=client,
            directory=subject.directory,
            target=session.target(),
            server_major=place.server_major,
            jobs=jobs,
            owners=place.owners,
            tablespaces=False,
        )
        with postgres.connect(place.loader) as other:
            loader = replace(admin, target=other.target())
        with _timed(phases, "definitions", progress), _as_superusers(place, contents):
            notes, replaced = _definitions(session, contents, place, admin)
        with _timed(phases, "data", progress, sizes) as reach:
            watch = pgrestore.watcher(sizes, jobs, reach)
            pgrestore.restore(replace(loader, section="data"), watch)
        built = pgrestore.index_settings(place.memory, jobs)
        for name, only in grouped(contents).items():
            order = replace(admin if name == REST else loader, only=only, settings=built)
            with _timed(phases, name, progress), _as_superusers(place, contents):
                pgrestore.restore(order)
        with _timed(phases, "analyze", progress), postgres.connect(place.loader) as other:
            other.execute("ANALYZE")
    return Restored(phases, notes, replaced)


def grouped(contents: Toc) -> dict[str, tuple[int, ...]]:
    """The numbers of what is restored after the data, by phase; an entry waits for all it needs."""
    phase: dict[str, int] = {}
    for entry in contents.entries:
        if entry.section == toc.POST_DATA:
            name = VECTOR_INDEXES if _is_vector(entry) else _KINDS.get(entry.desc or "", REST)
            waits = (phase.get(str(needed), 0) for needed in entry.dependencies)
            phase[str(entry.dump_id)] = max([_AFTER.index(name), *waits])
    groups = {
        name: tuple(int(number) for number, place in phase.items() if place == order)
        for order, name in enumerate(_AFTER)
    }
    return {name: group for name, group in groups.items() if group}


def _is_vector(entry: Entry) -> bool:
    return entry.desc == "INDEX" and bool(_VECTOR.search(entry.definition or ""))


@contextmanager
def _timed(
    phases: dict[str, float], name: str, progress: Progress, sizes: Mapping[str, int] | None = None
) -> Iterator[Callable[[int, int], None]]:
    progress.begin(name, len(sizes or ()), sum((sizes or {}).values()))
    began = time.monotonic()
    yield progress.reach
    phases[name] = round(time.monotonic() - began, 3)


@contextmanager
def _as_superusers(place: Place, contents: Toc) -> Iterator[None]:
    """Let those roles own what only superusers may own, while no rows are written."""
    decode = toc.decoder(contents)
    roles = sorted({decode(e.owner) for e in contents.entries if e.desc in _SUPERUSERS_OWN})
    with postgres.connect(place.admin) as session:
        for role in roles if place.own else ():
            session.execute(f"ALTER ROLE {quoted(role)} SUPERUSER")
        yield
        for role in roles if place.own else ():
            session.execute(f"ALTER ROLE {quoted(role)} NOSUPERUSER")


def _definitions(
    session: postgres.Session, contents: Toc, place: Place, order: Order
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Restore what stands before the data, with the C collation for those that are not there."""
    decode = toc.decoder(contents)
    named = {
        name for entry in contents.entries for name in _COLLATE.findall(decode(entry.definition))
    }
    known = {row[0] for row in session.query(_COLLATIONS)}
    lost = sorted(n for n in map(_unquoted, named) if n not in known) if place.own else []
    if lost:
        session.execute("SET allow_system_table_mods = on")
    for name in lost:
        session.execute(_like_c(f"pg_catalog.{quoted(name)}"))
    icu = [e for e in contents.entries if _needs_icu(e)] if not session.query(_HAS_ICU) else []
    if not icu:
        pgrestore.restore(replace(order, section="pre-data"))
    else:
        first = next(i for i, e in enumerate(contents.entries) if e.desc == "COLLATION")
        before = [e for e in contents.entries[:first] if e.section == toc.PRE_DATA]
        pgrestore.restore(replace(order, only=tuple(e.dump_id for e in before), jobs=1))
        for entry in icu:
            name = f"{quoted(decode(entry.namespace))}.{quoted(decode(entry.tag))}"
            session.execute(_like_c(name))
            if place.owners:
                owner = quoted(decode(entry.owner))
                session.execute(f"ALTER COLLATION {name} OWNER TO {owner}")
        done = {e.dump_id for e in (*before, *icu)}
        rest = [
            e
            for e in contents.entries[first:]
            if e.dump_id not in done and e.section not in {toc.DATA, toc.POST_DATA}
        ]
        pgrestore.restore(replace(order, only=tuple(e.dump_id for e in rest)))
    replaced = frozenset([*lost, *(decode(entry.tag) for entry in icu)])
    notes = tuple(
        f"the server lacks the collation {name}: C stands in for it" for name in sorted(replaced)
    )
    return notes, replaced


_COLLATIONS = """
SELECT collname FROM pg_catalog.pg_collation
WHERE collnamespace = 'pg_catalog'::pg_catalog.regnamespace AND collencoding IN (-1, (
  SELECT encoding FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
"""
# "unicode" is ICU's too, but there without it
_HAS_ICU = "SELECT FROM pg_catalog.pg_collation WHERE collname = 'und-x-icu' LIMIT 1"


def _needs_icu(entry: Entry) -> bool:
    return entry.desc == "COLLATION" and bool(_ICU.search(entry.definition or ""))


def _like_c(name: str) -> str:
    return f"CREATE COLLATION {name} (provider = libc, locale = 'C')"


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
